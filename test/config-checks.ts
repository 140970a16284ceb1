import t from 'tap'
import * as check from '../src/config-checks.ts'
import type { Check } from '../src/config-checks.ts'

type Rows = {
  readonly check: Check<unknown>
  readonly fine: readonly (readonly [given: unknown, read: unknown])[]
  readonly refused: readonly (readonly [given: unknown, problem: RegExp])[]
}

const tables: { readonly [name: string]: Rows } = {
  'a whole number': {
    check: check.wholeNumber({ min: 2, max: 10, unit: 'bytes' }),
    fine: [
      [2, 2],
      [10, 10],
      ['7', 7],
      [' 7 ', 7],
    ],
    refused: [
      [1, /whole number of bytes from 2 to 10, found 1/],
      [11, /found 11/],
      [2.5, /found 2\.5/],
      ['', /found ""/],
      ['7x', /found "7x"/],
      ['0x7', /found "0x7"/],
      ['-7', /found "-7"/],
      ['1e1', /found/],
      ['٧', /found/],
      [null, /found null/],
      [undefined, /must be/],
      [true, /found true/],
      [[7], /found \[7\]/],
      [Number.NaN, /found null/],
    ],
  },
  'tokens with names': {
    check: check.tokens,
    fine: [
      [[], []],
      ['abc', [{ name: 'token-1', token: 'abc' }]],
      [
        'a:b:c,Abc:d',
        [
          { name: 'a', token: 'b:c' },
          { name: 'token-2', token: 'Abc:d' },
        ],
      ],
      [[{ name: 'a', token: 'b' }], [{ name: 'a', token: 'b' }]],
      ['a:', [{ name: 'token-1', token: 'a:' }]],
    ],
    refused: [
      [[{ name: 'A', token: 'b' }], /item 1: name: must be a name/],
      [[{ name: 'a' }], /item 1: must be a text/],
      [[{ token: 'b', extra: 1 }], /unknown key "extra"/],
      [[7], /item 1: must be a table/],
      ['x y', /without spaces/],
    ],
  },
  'keys of job tokens': {
    check: check.tokenKeys,
    fine: [
      [`k1:${'s'.repeat(32)}`, [{ id: 'k1', secret: 's'.repeat(32) }]],
      [[{ id: 'k-2', secret: 's'.repeat(40) }], [{ id: 'k-2', secret: 's'.repeat(40) }]],
    ],
    refused: [
      [`k1:${'s'.repeat(31)}`, /at least 32 characters/],
      ['s'.repeat(32), /id:secret/],
      [[{ id: 'k1', secret: ' '.repeat(32) }], /without spaces/],
    ],
  },
  'patterns of targets': {
    check: check.targetPattern,
    fine: [
      ['Bank.example', 'bank.example'],
      ['*.bank.example', '*.bank.example'],
      ['203.0.113.7', '203.0.113.7'],
      ['203.0.113.0/24', '203.0.113.0/24'],
      ['2001:db8::/32', '2001:db8::/32'],
    ],
    refused: [
      ['*', /a name, \*\.name/],
      ['127.1', /a name/],
      ['bank..example', /a name/],
      ['fe80::1%eth0', /a name/],
      ['a*b.example', /a name/],
      ['http://bank.example', /a name/],
      ['bank.example:443', /a name/],
      ['203.0.113.0/33', /a CIDR/],
      ['', /a name/],
      [7, /a name/],
    ],
  },
  milliseconds: {
    check: check.milliseconds(1, 5),
    fine: [[5, 5]],
    refused: [[6, /milliseconds from 1 to 5/]],
  },
  'a port': {
    check: check.port,
    fine: [
      [0, 0],
      ['65535', 65535],
    ],
    refused: [
      [65536, /65535/],
      [-1, /found -1/],
    ],
  },
  'a choice': {
    check: check.oneOf('all', 'gateway'),
    fine: [['all', 'all']],
    refused: [
      ['ALL', /all or gateway, found "ALL"/],
      [' all', /found/],
      [undefined, /all or gateway/],
    ],
  },
  'yes or no': {
    check: check.yesOrNo,
    fine: [
      [true, true],
      ['true', true],
      [false, false],
      ['false', false],
    ],
    refused: [
      ['yes', /true or false, found "yes"/],
      ['', /found ""/],
      [1, /found 1/],
      [null, /found null/],
    ],
  },
  'a text': {
    check: check.text,
    fine: [[' a ', 'a']],
    refused: [
      ['  ', /a text/],
      [5, /found 5/],
      [null, /found null/],
    ],
  },
  'a secret': {
    check: check.secret,
    fine: [
      ['s3cret', 's3cret'],
      ['pä:ss,w', 'pä:ss,w'],
    ],
    refused: [
      ['', /without spaces/],
      ['s3 cret', /without spaces/],
      ['s3\ncret', /without spaces/],
      ['s3cret\x7f', /text/],
      [12345, /text/],
    ],
  },
  'a value or none': {
    check: check.orNull(check.port),
    fine: [
      [null, null],
      ['', null],
      [5, 5],
    ],
    refused: [['x', /found "x"/]],
  },
  'a list': {
    check: check.listOf(check.port),
    fine: [
      [
        [1, '2'],
        [1, 2],
      ],
      ['1, 2,', [1, 2]],
      ['', []],
      [[], []],
    ],
    refused: [
      [[1, 'x'], /^item 2: .*found "x"/],
      ['1,x', /^item 2: /],
      [5, /a list/],
      [{ 0: 1 }, /a list/],
      [null, /a list/],
    ],
  },
  'target ports': {
    check: check.targetPorts,
    fine: [
      ['*', 'any'],
      [['*'], 'any'],
      ['443,80', [443, 80]],
      [443, [443]],
      [
        [443, 80],
        [443, 80],
      ],
    ],
    refused: [
      ['', /a list of ports/],
      [[], /a list of ports/],
      ['443,*', /item 2/],
      ['0', /item 1/],
      [65536, /item 1/],
    ],
  },
  'the URL of a Redis': {
    check: check.redisUrl,
    fine: [
      ['redis://h:6379/0', 'redis://h:6379/0'],
      [' rediss://u:p@h ', 'rediss://u:p@h'],
      ['redis+sentinel://a,b/main', 'redis+sentinel://a,b/main'],
      ['redis+cluster://a,b', 'redis+cluster://a,b'],
    ],
    refused: [
      ['redis://a,b', /many servers/],
      ['http://h', /redis:\/\//],
      ['h:6379', /redis:\/\//],
      ['redis://', /server 1 has no host/],
      [6379, /redis:\/\//],
    ],
  },
  'the URL of a PostgreSQL': {
    check: check.postgresUrl,
    fine: [
      ['postgres://u:p@h:5432/lanekeeper', 'postgres://u:p@h:5432/lanekeeper'],
      ['postgresql://h/db?sslmode=require', 'postgresql://h/db?sslmode=require'],
    ],
    refused: [
      ['mysql://h', /postgres:\/\//],
      ['h:5432', /postgres:\/\//],
      ['postgres://', /postgres:\/\//],
      [5432, /postgres:\/\//],
    ],
  },
  'the URL of the admin API': {
    check: check.httpUrl,
    fine: [
      ['http://control:3129', 'http://control:3129'],
      ['https://lanekeeper.internal/', 'https://lanekeeper.internal'],
    ],
    refused: [
      ['control:3129', /http:\/\//],
      ['http://u:p@h', /without credentials/],
      ['http://h?x=1', /http:\/\//],
      [3129, /http:\/\//],
    ],
  },
  'a range of sources': {
    check: check.sourceRange,
    fine: [
      ['10.0.0.0/8', '10.0.0.0/8'],
      ['10.1.2.3', '10.1.2.3'],
      ['2001:db8::/32', '2001:db8::/32'],
    ],
    refused: [
      ['10.0.0.0/33', /CIDR.*10\.0\.0\.0\/33/],
      ['10.0.0.0/', /CIDR/],
      ['10.0.0/8', /CIDR/],
      ['2001:db8::/129', /CIDR/],
      ['bank.test', /CIDR/],
      ['', /CIDR/],
      [10, /CIDR/],
    ],
  },
  labels: {
    check: check.labels,
    fine: [
      [{}, {}],
      [{ pool: 'payments' }, { pool: 'payments' }],
    ],
    refused: [
      [{ pool: 5 }, /label "pool".*quotes/],
      [{ pool: null }, /label "pool"/],
      [['pool'], /table/],
      ['pool', /table/],
    ],
  },
  credentials: {
    check: check.credentials,
    fine: [[{ a: 'user:pa:ss' }, { a: 'user:pa:ss' }]],
    refused: [
      [{ a: 'user' }, /"a" must be user:password/],
      [{ a: ':pass' }, /"a"/],
      [{ a: 'user:' }, /"a"/],
      [{ a: 'us er:pass' }, /"a"/],
      [{ a: 5 }, /"a"/],
    ],
  },
  'a restriction': {
    check: check.restriction,
    fine: [
      [
        { id: 'r', kind: 'exclusive', type: 'payment', upstreams: { labels: { pool: 'p' } }, overflow: true },
        {
          id: 'r',
          kind: 'exclusive',
          type: 'payment',
          institution: '*',
          upstreams: { labels: { pool: 'p' } },
          overflow: true,
        },
      ],
      [
        { id: 'r', kind: 'deny', institution: 'bank-b', upstreams: { ids: ['up-1'] } },
        {
          id: 'r',
          kind: 'deny',
          type: '*',
          institution: 'bank-b',
          upstreams: { ids: ['up-1'] },
          overflow: false,
        },
      ],
      [
        {
          id: 'r',
          kind: 'targets',
          type: 'payment',
          targets: ['*.Bank.example', '203.0.113.0/24'],
          report: true,
        },
        {
          id: 'r',
          kind: 'targets',
          type: 'payment',
          institution: '*',
          upstreams: { ids: [] },
          overflow: false,
          targets: ['*.bank.example', '203.0.113.0/24'],
          report: true,
        },
      ],
      [
        { id: 'r', kind: 'exclusive', upstreams: { ids: ['a'] }, targets: 'bank.example', overflow: true },
        {
          id: 'r',
          kind: 'exclusive',
          type: '*',
          institution: '*',
          upstreams: { ids: ['a'] },
          overflow: true,
          targets: ['bank.example'],
          report: false,
        },
      ],
      [
        { id: 'r', kind: 'deny', upstreams: { ids: ['a'] }, targets: null, report: false },
        {
          id: 'r',
          kind: 'deny',
          type: '*',
          institution: '*',
          upstreams: { ids: ['a'] },
          overflow: false,
        },
      ],
    ],
    refused: [
      [{ kind: 'deny', upstreams: { ids: ['a'] } }, /id/],
      [{ id: 'r', kind: 'allow', upstreams: { ids: ['a'] } }, /kind: .*exclusive or deny or targets/],
      [{ id: 'r', kind: 'targets' }, /targets must be a list/],
      [{ id: 'r', kind: 'targets', targets: null }, /targets must be a list/],
      [{ id: 'r', kind: 'targets', targets: [] }, /targets must be 1 to 1000 patterns, found 0/],
      [{ id: 'r', kind: 'targets', targets: Array(1001).fill('a.b') }, /1 to 1000 patterns, found 1001/],
      [{ id: 'r', kind: 'targets', targets: ['a.b', '*'] }, /targets: item 2: .*a name, \*\.name/],
      [
        { id: 'r', kind: 'targets', targets: ['a.b'], overflow: true },
        /overflow goes with kind exclusive only/,
      ],
      [
        { id: 'r', kind: 'targets', targets: ['a.b'], upstreams: { ids: ['a'] } },
        /upstreams: must be left out/,
      ],
      [{ id: 'r', kind: 'targets', targets: ['a.b'], report: 'soon' }, /report: must be true or false/],
      [{ id: 'r', kind: 'deny', upstreams: { ids: ['a'] }, targets: ['a.b'] }, /targets go with kind/],
      [{ id: 'r', kind: 'exclusive', targets: ['a.b'] }, /upstreams/],
      [
        { id: 'r', kind: 'exclusive', upstreams: { ids: ['a'] }, report: true },
        /report goes with targets only/,
      ],
      [{ id: 'r', kind: 'deny' }, /upstreams/],
      [{ id: 'r', kind: 'deny', upstreams: {} }, /upstreams/],
      [{ id: 'r', kind: 'deny', upstreams: { ids: ['a'], labels: { b: 'c' } } }, /upstreams/],
      [{ id: 'r', kind: 'deny', upstreams: { ids: [] } }, /ids must not be empty/],
      [{ id: 'r', kind: 'deny', upstreams: { labels: {} } }, /labels must not be empty/],
      [{ id: 'r', kind: 'deny', upstreams: { label: { a: 'b' } } }, /unknown key "label"/],
      [{ id: 'r', kind: 'deny', upstreams: { ids: ['a'] }, lane: 'x' }, /unknown key "lane"/],
      [{ id: 'r', kind: 'deny', type: 'a:b', upstreams: { ids: ['a'] } }, /type/],
      [{ id: 'r', kind: 'deny', institution: 5, upstreams: { ids: ['a'] } }, /institution/],
      [{ id: 'r', kind: 'deny', upstreams: { ids: ['a'] }, overflow: 'maybe' }, /overflow/],
      ['r', /table/],
    ],
  },
}

for (const [name, { check: read, fine, refused }] of Object.entries(tables)) {
  t.test(name, async (t) => {
    for (const [given, expected] of fine)
      t.strictSame(read(given), expected, `reads ${JSON.stringify(given)}`)
    for (const [given, problem] of refused)
      t.throws(
        () => read(given),
        { constructor: check.Problem, message: problem },
        `refuses ${JSON.stringify(given)}`,
      )
  })
}

t.test('what holds secrets never says what it found', async (t) => {
  const given = [
    's3cret x',
    ['s3cret\n'],
    { a: 's3cret' },
    { a: { b: 's3cret' } },
    { a: ['s3cret'] },
    's3cret',
  ]
  const checks: [string, Check<unknown>][] = [
    ['secret', check.secret],
    ['list of secrets', check.listOf(check.secret)],
    ['redisUrl', check.redisUrl],
    ['postgresUrl', check.postgresUrl],
    ['httpUrl', check.httpUrl],
    ['credentials', check.credentials],
    ['labels', check.record],
  ]
  for (const [name, check] of checks) {
    for (const value of given) {
      try {
        check(value)
      } catch (error) {
        t.notMatch((error as Error).message, /s3cret/, `${name} of ${JSON.stringify(value)}`)
      }
    }
  }
})

t.test('what it found is not repeated at length', async (t) => {
  t.throws(() => check.port('9'.repeat(10_000)), { message: /^.{0,200}$/ })
})

t.test('other mistakes than problems stay what they are', async (t) => {
  const mistake = new TypeError('a mistake')
  t.throws(
    () =>
      check.at('here', () => {
        throw mistake
      }),
    mistake,
  )
})
