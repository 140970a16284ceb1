import t from 'tap'
import {
  hopByHopIn,
  lengthOfAnswer,
  requestHeaders,
  responseHeaders,
  viaOfAnswer,
} from '../../src/gateway/forward-headers.ts'

type Pairs = readonly (readonly [string, string])[]

type Options = Partial<Parameters<typeof requestHeaders>[2]> & { httpVersion?: string }

const toTarget = (pairs: Pairs, { httpVersion = '1.1', ...options }: Options = {}) => {
  const received = { httpVersion, rawHeaders: pairs.flat() }
  const headers = requestHeaders(received, 'bank.test', { keepFraming: true, via: null, ...options })
  return Object.entries(headers).map(([name, values]) => [name, ...[values].flat()])
}
const toClient = (pairs: Pairs) => responseHeaders(pairs.flat())

t.test('headers that go to the target', async (t) => {
  const rows: { name: string; given: Pairs; goesOn: string[][] }[] = [
    {
      name: 'ordinary ones, spelled as they came',
      given: [
        ['aCCept', '*/*'],
        ['Authorization', 'Bearer x'],
      ],
      goesOn: [
        ['aCCept', '*/*'],
        ['Authorization', 'Bearer x'],
      ],
    },
    {
      name: 'repeated ones, each with its value, in order',
      given: [
        ['X-A', '1'],
        ['X-B', '2'],
        ['x-a', '3'],
      ],
      goesOn: [
        ['X-A', '1', '3'],
        ['X-B', '2'],
      ],
    },
    { name: 'framing', given: [['Content-Length', '3']], goesOn: [['Content-Length', '3']] },
    {
      name: 'framing of a stream',
      given: [['Transfer-Encoding', 'chunked']],
      goesOn: [['Transfer-Encoding', 'chunked']],
    },
    {
      name: 'framing that Connection names',
      given: [
        ['Connection', 'content-length, transfer-encoding, host'],
        ['Content-Length', '3'],
      ],
      goesOn: [['Content-Length', '3']],
    },
    {
      name: "Expect, since its answer is the target's",
      given: [['Expect', '100-continue']],
      goesOn: [['Expect', '100-continue']],
    },
    {
      name: 'names that every object has',
      given: [
        ['constructor', 'a'],
        ['toString', 'b'],
        ['hasOwnProperty', 'c'],
      ],
      goesOn: [
        ['constructor', 'a'],
        ['toString', 'b'],
        ['hasOwnProperty', 'c'],
      ],
    },
  ]
  for (const { name, given, goesOn } of rows)
    t.strictSame(toTarget(given), [['Host', 'bank.test'], ...goesOn], name)
})

t.test('headers that go no further', async (t) => {
  const rows: { name: string; given: Pairs }[] = [
    {
      name: 'the Host of the client',
      given: [
        ['Host', 'other.test'],
        ['hOST', 'third.test'],
      ],
    },
    {
      name: 'the job',
      given: [
        ['X-Job-Id', '42'],
        ['x-job-type', 'payment'],
        ['X-JOB-INSTITUTION', 'b'],
        ['X-Job-Whatever', 'c'],
      ],
    },
    {
      name: 'what is said to proxies',
      given: [
        ['Proxy-Authorization', 'Basic eA=='],
        ['proxy-connection', 'keep-alive'],
        ['Proxy-Foo', 'x'],
      ],
    },
    {
      name: 'both with underscores, which some targets read as hyphens',
      given: [
        ['X_Job_Id', '42'],
        ['x-job_type', 'payment'],
        ['X_JOB-Institution', 'b'],
        ['Proxy_Authorization', 'Basic eA=='],
      ],
    },
    {
      name: 'hop-by-hop ones',
      given: [
        ['Connection', 'close'],
        ['Keep-Alive', 'timeout=5'],
        ['TE', 'trailers'],
        ['Trailer', 'X-T'],
        ['Upgrade', 'h2c'],
        ['HTTP2-Settings', 'AAA'],
      ],
    },
    {
      name: 'what Connection names',
      given: [
        ['Connection', 'close, X-Secret ,x-other'],
        ['X-Secret', 'a'],
        ['X-Other', 'b'],
      ],
    },
    {
      name: 'what a second Connection names',
      given: [
        ['X-Secret', 'a'],
        ['Connection', 'close'],
        ['connection', 'x-secret'],
      ],
    },
    {
      name: 'what Connection names, like parts of every object',
      given: [
        ['Connection', '__proto__'],
        ['__proto__', 'a'],
      ],
    },
    { name: 'Connection that names itself', given: [['Connection', 'Connection, connection']] },
    {
      name: 'identity that Connection names',
      given: [
        ['Connection', 'X-Job-Id'],
        ['X-Job-Id', '42'],
      ],
    },
  ]
  for (const { name, given } of rows) t.strictSame(toTarget(given), [['Host', 'bank.test']], name)
})

t.test('a header named __proto__ is a header like any other', async (t) => {
  const headers = requestHeaders({ httpVersion: '1.1', rawHeaders: ['__proto__', 'a'] }, 'bank.test', {
    keepFraming: true,
    via: null,
  })
  t.equal(Object.getPrototypeOf(headers), null)
  t.strictSame(Object.entries(headers), [
    ['Host', 'bank.test'],
    ['__proto__', 'a'],
  ])
  t.equal(({} as { a?: unknown }).a, undefined)
})

t.test('framing is left out where the request has no body', async (t) => {
  const given: Pairs = [
    ['Content-Length', '0'],
    ['Transfer-Encoding', 'chunked'],
    ['X-A', '1'],
  ]
  t.strictSame(toTarget(given, { keepFraming: false }), [
    ['Host', 'bank.test'],
    ['X-A', '1'],
  ])
})

t.test('what somebody else might read in another way is written by us', async (t) => {
  const rows: { name: string; given: Pairs; goesOn: string[][]; options?: Options }[] = [
    { name: 'a length with zeros', given: [['Content-Length', '0042 ']], goesOn: [['Content-Length', '42']] },
    { name: 'a length of zeros', given: [['Content-Length', '000']], goesOn: [['Content-Length', '0']] },
    {
      name: 'a length beyond what a number holds',
      given: [['Content-Length', '18446744073709551615']],
      goesOn: [['Content-Length', '18446744073709551615']],
    },
    {
      name: 'the coding',
      given: [['transfer-encoding', ' CHUNKED ']],
      goesOn: [['transfer-encoding', 'chunked']],
    },
    {
      name: 'Expect of HTTP/1.0, which has no 100',
      given: [['Expect', '100-continue']],
      goesOn: [],
      options: { httpVersion: '1.0' },
    },
    {
      name: 'Max-Forwards that is counted',
      given: [['max-forwards', '5']],
      goesOn: [['max-forwards', '4']],
      options: { maxForwards: 4 },
    },
    { name: 'Max-Forwards that is not', given: [['Max-Forwards', 'x']], goesOn: [['Max-Forwards', 'x']] },
  ]
  for (const { name, given, goesOn, options } of rows)
    t.strictSame(toTarget(given, options), [['Host', 'bank.test'], ...goesOn], name)
})

t.test('Via', async (t) => {
  const rows: { name: string; given: Pairs; via: string[]; options?: Options }[] = [
    { name: 'of a first proxy', given: [], via: ['Via', '1.1 gw'] },
    { name: 'of HTTP/1.0', given: [], via: ['Via', '1.0 gw'], options: { httpVersion: '1.0' } },
    {
      name: 'behind those before us',
      given: [
        ['via', '1.0 a, 1.1 b'],
        ['VIA', '1.1 c'],
      ],
      via: ['via', '1.0 a, 1.1 b', '1.1 c', '1.1 gw'],
    },
    {
      name: 'that Connection names',
      given: [
        ['Via', '1.1 a'],
        ['Connection', 'via'],
      ],
      via: ['Via', '1.1 gw'],
    },
  ]
  for (const { name, given, via, options } of rows)
    t.strictSame(toTarget(given, { ...options, via: 'gw' }), [['Host', 'bank.test'], via], name)
  t.strictSame(toTarget([['Via', '1.1 a']]), [
    ['Host', 'bank.test'],
    ['Via', '1.1 a'],
  ])
  t.equal(viaOfAnswer({ httpVersion: '1.0', headers: {} }, 'gw'), '1.0 gw')
  t.equal(viaOfAnswer({ httpVersion: '1.1', headers: { via: '1.1 a, 1.1 b' } }, 'gw'), '1.1 a, 1.1 b, 1.1 gw')
})

t.test('the length of an answer', (t) => {
  const rows: [status: number, said: string | undefined, written: string | null][] = [
    [200, '42', '42'],
    [200, '0042', '42'],
    [200, '000', '0'],
    [304, '42', '42'],
    [204, '42', null],
    [204, '0', null],
    [200, undefined, null],
  ]
  for (const [statusCode, said, written] of rows) {
    const headers = said === undefined ? {} : { 'content-length': said }
    t.equal(lengthOfAnswer({ statusCode, headers }), written, `${statusCode}: ${said}`)
  }
  t.end()
})

t.test('headers of the answer', async (t) => {
  const rows: { name: string; given: Pairs; goesOn: Pairs }[] = [
    {
      name: 'ordinary ones in order, repeated ones on lines of their own',
      given: [
        ['Set-Cookie', 'a'],
        ['Server', 'x'],
        ['set-cookie', 'b'],
      ],
      goesOn: [
        ['Set-Cookie', 'a'],
        ['Server', 'x'],
        ['set-cookie', 'b'],
      ],
    },
    { name: 'length', given: [['Content-Length', '3']], goesOn: [['Content-Length', '3']] },
    {
      name: 'length that Connection names',
      given: [
        ['Connection', 'Content-Length'],
        ['Content-Length', '3'],
      ],
      goesOn: [['Content-Length', '3']],
    },
    {
      name: 'not the hop',
      given: [
        ['Connection', 'close, X-Hop'],
        ['X-Hop', 'a'],
        ['Keep-Alive', 'x'],
        ['Transfer-Encoding', 'chunked'],
        ['Upgrade', 'websocket'],
      ],
      goesOn: [],
    },
    {
      name: 'not what only a proxy may say',
      given: [
        ['Proxy-Authenticate', 'Basic'],
        ['Proxy-Status', 'x'],
      ],
      goesOn: [],
    },
  ]
  for (const { name, given, goesOn } of rows) t.strictSame(toClient(given), goesOn, name)
})

t.test('names that belong to one hop', async (t) => {
  for (const name of [
    'connection',
    'keep-alive',
    'transfer-encoding',
    'upgrade',
    'proxy-connection',
    'proxy-authenticate',
  ])
    t.ok(hopByHopIn([])(name), name)
  for (const name of ['content-length', 'set-cookie', 'x-proxy']) t.notOk(hopByHopIn([])(name), name)
  t.ok(hopByHopIn(['Connection', 'X-Own, close'])('x-own'), 'what Connection names')
})
