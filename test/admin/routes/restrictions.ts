import t from 'tap'
import type { PageRequest } from '../../../src/store/records.ts'
import { ControlError } from '../../../src/errors.ts'
import { makeAdmin } from '../../fixtures/admin.ts'
import { makeControl, restrictionRecord } from '../../fixtures/admin-control.ts'

const rule = restrictionRecord({ id: 'rule-1', type: 'payment', upstreams: { labels: { pool: 'a' } } })
const shape = {
  id: 'rule-1',
  kind: 'exclusive',
  type: 'payment',
  institution: '*',
  upstreams: { labels: { pool: 'a' } },
  overflow: false,
  targets: null,
  report: false,
  source: 'api',
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-02T00:00:00.000Z',
}

t.test('the list, and one', async (t) => {
  const asked: unknown[] = []
  const restrictions = {
    list: async (request: PageRequest) => {
      asked.push(request)
      return { items: [rule], next: null }
    },
    read: async (id: string) => (id === 'rule-1' ? rule : null),
  }
  const { app } = makeAdmin(t, { control: makeControl({ records: { restrictions } }).control })
  t.strictSame((await app.inject({ url: '/v1/restrictions?limit=2&after=1' })).json(), {
    items: [shape],
    next: null,
  })
  t.strictSame(asked, [{ after: '1', limit: 2 }])
  t.strictSame((await app.inject({ url: '/v1/restrictions/rule-1' })).json(), shape)
  const missing = await app.inject({ url: '/v1/restrictions/rule-2' })
  t.equal(missing.statusCode, 404)
  t.match(missing.json(), { code: 'not_found', detail: /"rule-2"/ })
})

t.test('adding and replacing', async (t) => {
  const { control, calls } = makeControl({ restriction: rule, version: 9 })
  const { app } = makeAdmin(t, { control })
  const said = { kind: 'exclusive', upstreams: { ids: ['up-1'] } }
  const whole = { ...said, type: '*', institution: '*', overflow: false }
  const no = { force: false, evict: false }

  t.test('adding answers where it is, and the version that has it', async (t) => {
    const answer = await app.inject({ method: 'POST', url: '/v1/restrictions', payload: said })
    t.equal(answer.statusCode, 201)
    t.equal(answer.headers.location, '/v1/restrictions/rule-1')
    t.strictSame(answer.json(), { ...shape, version: 9, evicting: false })
    t.strictSame(calls.pop()?.given, [{ ...whole, id: null }, no])
  })

  t.test('replacing answers it as it is now', async (t) => {
    for (const payload of [said, { ...said, id: 'rule-1' }]) {
      const answer = await app.inject({ method: 'PUT', url: '/v1/restrictions/rule-1', payload })
      t.equal(answer.statusCode, 200)
      t.equal(answer.headers.location, undefined)
      t.strictSame(answer.json(), { ...shape, version: 9, evicting: false })
      t.strictSame(calls.pop(), {
        verb: 'replace',
        given: [{ ...whole, id: 'rule-1' }, no],
        author: { actor: 'admin', reason: null },
        keeps: false,
      })
    }
  })

  t.test('hands on what was said', async (t) => {
    const lane = { type: 'payment', institution: 'bank-a' }
    const full = { kind: 'exclusive', ...lane, upstreams: { labels: { a: 'b' } }, overflow: true }
    const rows: [query: string, payload: object, given: object, options: object][] = [
      ['?force=true', { ...said, id: 'own-id' }, { ...whole, id: 'own-id' }, { force: true, evict: false }],
      ['?evict=true&force=false', said, { ...whole, id: null }, { force: false, evict: true }],
      ['', full, { ...full, id: null }, no],
      ['', { ...said, kind: 'deny', overflow: false }, { ...whole, kind: 'deny', id: null }, no],
      [
        '',
        { kind: 'targets', ...lane, targets: ['*.Bank.example.', '2001:DB8::/32'] },
        {
          kind: 'targets',
          ...lane,
          upstreams: { ids: [] },
          overflow: false,
          targets: ['*.bank.example', '2001:db8::/32'],
          report: false,
          id: null,
        },
        no,
      ],
      [
        '',
        { ...full, targets: ['203.0.113.7'], report: true },
        { ...full, targets: ['203.0.113.7'], report: true, id: null },
        no,
      ],
      ['', { ...said, targets: null, report: false }, { ...whole, id: null }, no],
    ]
    for (const [query, payload, given, options] of rows) {
      const answer = await app.inject({ method: 'POST', url: `/v1/restrictions${query}`, payload })
      t.equal(answer.statusCode, 201)
      t.equal(answer.json().evicting, query.includes('evict=true'))
      t.strictSame(calls.pop()?.given, [given, options])
    }
  })

  t.test('a thousand upstreams by the longest ids', async (t) => {
    const ids = Array.from({ length: 1000 }, (_, n) => `${n}-`.padEnd(128, 'x'))
    const payload = { ...said, upstreams: { ids } }
    t.equal((await app.inject({ method: 'POST', url: '/v1/restrictions', payload })).statusCode, 201)
    t.match(calls.pop()?.given, [{ upstreams: { ids } }])
    const more = { ...said, upstreams: { ids: [...ids, 'one-more'] } }
    t.equal((await app.inject({ method: 'POST', url: '/v1/restrictions', payload: more })).statusCode, 400)
  })

  t.test('a thousand targets by the longest names, beside a thousand upstreams', async (t) => {
    const ids = Array.from({ length: 1000 }, (_, n) => `${n}-`.padEnd(128, 'x'))
    const name = `${'x'.repeat(61)}.`.repeat(4).slice(0, 243)
    const targets = Array.from({ length: 1000 }, (_, n) => `*.n${String(n).padStart(8, '0')}.${name}`)
    t.equal(targets[0]!.length, 255)
    const payload = { ...said, upstreams: { ids }, targets }
    t.equal((await app.inject({ method: 'POST', url: '/v1/restrictions', payload })).statusCode, 201)
    t.match(calls.pop()?.given, [{ targets }])
    const more = { ...said, targets: [...targets, 'one.more'] }
    t.equal((await app.inject({ method: 'POST', url: '/v1/restrictions', payload: more })).statusCode, 400)
  })

  t.test('says which target is none', async (t) => {
    const payload = { kind: 'targets', targets: ['bank.example', 'https://bank.example'] }
    const { status, detail } = (await app.inject({ method: 'POST', url: '/v1/restrictions', payload })).json()
    t.equal(status, 400)
    t.match(
      detail,
      /^Field "targets\.1" must be a name, \*\.name for every name below it, an address or a CIDR/,
    )
    t.notMatch(detail, /https/)
  })

  t.test('refuses what no rule can say', async (t) => {
    const wrong: { [why: string]: object } = {
      'another kind': { ...said, kind: 'allow' },
      'no kind': { upstreams: said.upstreams },
      'a deny that overflows': { ...said, kind: 'deny', overflow: true },
      'no upstreams with kind exclusive': { kind: 'exclusive' },
      'no upstreams with kind deny': { kind: 'deny' },
      'upstreams with kind targets': { ...said, kind: 'targets', targets: ['a.b'] },
      'kind targets without targets': { kind: 'targets' },
      'kind targets with null': { kind: 'targets', targets: null },
      'kind targets that overflows': { kind: 'targets', targets: ['a.b'], overflow: true },
      'no targets at all': { kind: 'targets', targets: [] },
      'a target that is none': { kind: 'targets', targets: ['a.b', '*'] },
      'a target that is no text': { kind: 'targets', targets: [7] },
      'a target too long': { kind: 'targets', targets: ['a.'.repeat(200)] },
      'targets that are no list': { kind: 'targets', targets: 'a.b' },
      'a deny with targets': { ...said, kind: 'deny', targets: ['a.b'] },
      'report without targets': { ...said, report: true },
      'both selectors': { ...said, upstreams: { ids: ['a'], labels: { a: 'b' } } },
      'no selector': { ...said, upstreams: {} },
      'no ids': { ...said, upstreams: { ids: [] } },
      'no labels': { ...said, upstreams: { labels: {} } },
      'an id that is none': { ...said, upstreams: { ids: ['a b'] } },
      'a type that is no word': { ...said, type: 'a:b' },
      'a text where a flag is meant': { ...said, overflow: 'true' },
      'a field of an answer': { ...said, source: 'api' },
    }
    for (const [why, payload] of Object.entries(wrong))
      for (const [method, url] of [
        ['POST', '/v1/restrictions'],
        ['PUT', '/v1/restrictions/rule-1'],
      ] as const)
        t.equal((await app.inject({ method, url, payload })).statusCode, 400, `${method} with ${why}`)
    const other = {
      method: 'PUT' as const,
      url: '/v1/restrictions/rule-1',
      payload: { ...said, id: 'rule-2' },
    }
    t.match((await app.inject(other)).json(), { status: 400, detail: /"rule-1" as in the path/ })
    t.strictSame(calls, [])
  })
})

t.test('removing', async (t) => {
  const { control, calls } = makeControl({ restriction: rule, version: 9 })
  const { app } = makeAdmin(t, { control })
  const answer = await app.inject({ method: 'DELETE', url: '/v1/restrictions/rule-1?evict=true&reason=old' })
  t.equal(answer.statusCode, 200)
  t.strictSame(answer.json(), { id: 'rule-1', version: 9, evicting: true })
  t.strictSame(calls, [
    {
      verb: 'remove',
      given: ['rule-1', { force: false, evict: true }],
      author: { actor: 'admin', reason: 'old' },
      keeps: false,
    },
  ])
})

t.test('what a verb refuses is told', async (t) => {
  const refuse = () => new ControlError('lane_without_upstream', 'Lane payment:* would have none.')
  const { app } = makeAdmin(t, { control: makeControl({ refuse }).control })
  const answer = await app.inject({ method: 'DELETE', url: '/v1/restrictions/rule-1' })
  t.equal(answer.statusCode, 409)
  t.match(answer.json(), { code: 'lane_without_upstream', detail: /payment:\*/ })
})
