import { pino } from 'pino'
import t from 'tap'
import { makeEvents, type Facts } from '../src/events.ts'
import { logFacts } from '../src/log.ts'

const job = { id: 'job-1', type: 'payment', institution: null }
const request = {
  requestId: 'r-1',
  job,
  token: 'payments',
  tokenKey: null,
  target: { host: '2001:db8::1', port: 443 },
  upstream: 'up-1',
}

function setUp() {
  const events = makeEvents()
  const lines: { [field: string]: unknown }[] = []
  logFacts(
    events,
    pino({ level: 'trace', base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
  )
  return { events, lines }
}

t.test('one line when a tunnel opens and one when it closes, with what an operator looks for', (t) => {
  const { events, lines } = setUp()
  events.emit('tunnel_opened', { ...request, road: 'connect', egressIp: '203.0.113.7', setupMs: 3 })
  events.emit('tunnel_closed', { ...request, bytesUp: 10, bytesDown: 20, endedBy: 'client', ms: 5 })
  t.match(lines, [
    {
      msg: 'tunnel opened',
      job: 'job-1',
      type: 'payment',
      target: '[2001:db8::1]:443',
      upstream: 'up-1',
      egressIp: '203.0.113.7',
    },
    { msg: 'tunnel closed', requestId: 'r-1', bytesUp: 10, bytesDown: 20, endedBy: 'client' },
  ])
  t.end()
})

t.test('a refusal without a job or a target is a line all the same', (t) => {
  const { events, lines } = setUp()
  const fact = {
    requestId: 'r-2',
    token: null,
    tokenKey: null,
    code: 'bad_request',
    status: 400,
    detail: 'why',
    job: null,
    target: null,
    upstream: null,
  } as const
  events.emit('request_refused', fact)
  t.match(lines, [{ msg: 'request refused', code: 'bad_request', detail: 'why' }])
  t.end()
})

t.test('a refused connection is no line that a flood could fill the log with', (t) => {
  const { events, lines } = setUp()
  events.emit('connection_refused', { requestId: 'r-3', reason: 'heads', source: '192.0.2.1' })
  t.match(lines, [{ level: 20, msg: 'connection refused', reason: 'heads', source: '192.0.2.1' }])
  t.end()
})

t.test('a sync is a line that is the louder the more it matters', (t) => {
  const { events, lines } = setUp()
  const pass = { listed: 5, left: 0, problems: [], ms: 12 }
  for (const [outcome, corrected] of [
    ['done', 0],
    ['done', 2],
    ['stopped', 0],
  ] as const)
    events.emit('sync_done', { ...pass, outcome, corrected })
  const [debug, info, warn] = [20, 30, 40]
  t.match(lines, [
    { level: debug, msg: 'sync', outcome: 'done' },
    { level: info, msg: 'sync', corrected: 2 },
    { level: warn, msg: 'sync', outcome: 'stopped' },
  ])
  t.end()
})

t.test('calls to the provider are told to who looks closely', (t) => {
  const { events, lines } = setUp()
  events.emit('provider_called', { provider: 'gce', verb: 'create', ms: 42_000, outcome: 'quota' })
  t.match(lines, [
    { level: 20, msg: 'provider called', provider: 'gce', verb: 'create', ms: 42_000, outcome: 'quota' },
  ])
  t.end()
})

t.test('every fact has a line', (t) => {
  const { events, lines } = setUp()
  const names = events.eventNames() as (keyof Facts)[]
  const emit = events.emit.bind(events) as (name: keyof Facts, fact: unknown) => boolean
  for (const name of names) t.ok(emit(name, { ...request, error: new Error('what failed') }), String(name))
  t.equal(lines.length, names.length)
  t.ok(names.length >= 25, `${names.length} facts`)
  t.match(lines.at(-1), { err: { message: 'what failed' } })
  t.end()
})
