import t from 'tap'
import { makeEvents, type Facts } from '../src/events.ts'
import { logFacts, makeLog } from '../src/log.ts'

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
  const log = makeLog('trace', { write: (line) => void lines.push(JSON.parse(line)) })
  logFacts(events, log)
  return { events, lines, log }
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

t.test('who was let in by which token is in the line, as a name', (t) => {
  const { events, lines } = setUp()
  const end = { bytesUp: 1, bytesDown: 2, endedBy: 'client', ms: 3 } as const
  const refused = { ...request, code: 'target_denied', status: 403, detail: 'no' } as const
  events.emit('tunnel_opened', { ...request, road: 'http', egressIp: null, setupMs: 1 })
  events.emit('tunnel_closed', { ...request, token: null, tokenKey: 'k1', ...end })
  events.emit('request_refused', refused)
  events.emit('token_minted', { job, keyId: 'k1', expiresAt: '2026-01-01T00:00:00.000Z' })
  t.match(lines, [
    { msg: 'tunnel opened', token: 'payments', tokenKey: null },
    { msg: 'tunnel closed', token: null, tokenKey: 'k1' },
    { msg: 'request refused', token: 'payments', tokenKey: null },
    { level: 30, msg: 'token minted', job: 'job-1', type: 'payment', keyId: 'k1', expiresAt: /^2026/ },
  ])
  t.end()
})

t.test('of an error only what it is, says and comes from is shown, not what hangs on it', (t) => {
  const { events, lines, log } = setUp()
  const hung = (error: Error) =>
    Object.assign(error, {
      code: 'E_ODD',
      rawPacket: Buffer.from('hush'),
      command: { name: 'auth', args: ['hush'] },
      config: { headers: { authorization: 'hush' } },
      toJSON: () => 'hush',
    })
  const cause = hung(new RangeError('below'))
  const error = hung(new AggregateError([hung(new Error('one of them'))], 'what failed', { cause }))
  events.emit('pass_failed', { pass: 'request', error })
  log.error({ err: error }, 'failed')
  for (const line of lines)
    t.match(line.err, {
      type: 'AggregateError',
      message: 'what failed',
      code: 'E_ODD',
      stack: /log\.ts/,
      cause: { type: 'RangeError', message: 'below', stack: /log\.ts/ },
      errors: [{ type: 'Error', message: 'one of them' }],
    })
  events.emit('pass_failed', { pass: 'request', error: { password: 'hush' } })
  events.emit('pass_failed', { pass: 'request', error: 'hush' })
  t.equal(lines.length, 4)
  const all = JSON.stringify(lines)
  for (const hush of ['hush', [...Buffer.from('hush')].join(',')]) t.notMatch(all, hush)
  const circle = new Error('round')
  circle.cause = circle
  events.emit('pass_failed', { pass: 'request', error: circle })
  t.match(lines.at(-1), { err: { message: 'round' } }, 'errors that caused each other come to an end')
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

t.test('a reload: what is new, and by name only; what waits; what is wrong', (t) => {
  const { events, lines } = setUp()
  events.emit('config_reloaded', { settings: ['gateway.tokens'] })
  events.emit('config_held_back', { settings: ['fleet'] })
  events.emit('config_reload_failed', { problems: ['one', 'two'] })
  t.match(lines, [
    { level: 30, msg: /configuration reloaded/, settings: ['gateway.tokens'] },
    { level: 40, msg: /need a restart/, settings: ['fleet'] },
    { level: 50, msg: /the old one stays/, problems: ['one', 'two'] },
  ])
  t.equal(lines.length, 3)
  t.end()
})
