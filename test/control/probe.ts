import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { connect } from 'node:net'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { makeProbe, probeUntilGood, type ProbeResult } from '../../src/control/probe.ts'
import { cert, key } from '../../src/demo/certificate.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { startFullListener } from '../fixtures/full-listener.ts'
import { closedPort, listen } from '../fixtures/listen.ts'
import {
  closing,
  establishing,
  refuse,
  resetting,
  saying,
  sayingSlowly,
  startReadingUpstream,
  stayingSilent,
  tunnelling,
  type Script,
} from '../fixtures/scripted-upstream.ts'
import { startTarget } from '../fixtures/target.ts'
import { startTinyproxy, type TinyproxyOptions } from '../fixtures/tinyproxy.ts'
import { until } from '../fixtures/until.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const never = new AbortController().signal
/** Long enough for a busy machine, where an answer is expected. */
const patient = 10_000
/** Where none is. */
const hasty = 150

type Made = {
  url?: string | null
  timeoutMs?: number
  credentials?: string | null
  now?: () => number
  ca?: string
}

/** Time stands still unless told: a busy test machine must not look like a stalled process. */
function probeWith({ url = null, timeoutMs = patient, credentials = null, now, ca }: Made = {}) {
  const clock = makeFakeClock()
  return makeProbe({
    url,
    timeoutMs,
    credentialsOf: () => credentials,
    now: now ?? clock.now,
    ...(ca !== undefined && { ca }),
  })
}

const at = (port: number) => makeUpstream({ id: 'up-1', port })

async function throughTinyproxy(t: Test, options: TinyproxyOptions, made: Made = {}): Promise<ProbeResult> {
  const tinyproxy = await startTinyproxy(options)
  t.teardown(tinyproxy.stop)
  return probeWith(made)(at(tinyproxy.port), never)
}

async function scriptedUpstream(t: Test, script: Script) {
  const scripted = await startReadingUpstream(script)
  t.teardown(scripted.stop)
  const allClosed = () => until('no connection is left', () => scripted.connections().open === 0)
  return { scripted, upstream: at(scripted.port), allClosed }
}

/** A page behind an upstream without manners. */
async function pageOf(t: Test, answer: RequestListener, { tls = false } = {}) {
  const server = tls ? createHttpsServer({ key, cert }, answer) : createHttpServer(answer)
  const page = await listen(server)
  t.teardown(page.close)
  const { upstream, allClosed } = await scriptedUpstream(t, tunnelling())
  const pageClosed = () => until('no connection to the page is left', () => page.sockets.size === 0)
  const url = `${tls ? 'https' : 'http'}://127.0.0.1:${page.port}/`
  return { url, upstream, allClosed, pageClosed, accepted: page.accepted }
}

t.test('without a URL', async (t) => {
  const good = { ok: true, ms: 0, egressIp: null }

  t.test('a real Tinyproxy is good, whatever it says to a port that it cannot reach', async (t) => {
    t.strictSame(await throughTinyproxy(t, {}), good)
    t.strictSame(await throughTinyproxy(t, { connectPorts: [443, 80] }), good)
    const basicAuth = { user: 'lane', password: 'keeper' }
    t.strictSame(await throughTinyproxy(t, { basicAuth }, { credentials: 'lane:keeper' }), good)
  })

  t.test('a real Tinyproxy that does not take our credentials is bad, and says so', async (t) => {
    const basicAuth = { user: 'lane', password: 'keeper' }
    for (const credentials of [null, 'lane:wrong'])
      t.match(await throughTinyproxy(t, { basicAuth }, { credentials }), {
        ok: false,
        problem: /^it does not take our credentials \(it answered 40[17]\)$/,
      })
  })

  t.test('a real Tinyproxy at MaxClients is bad', async (t) => {
    const tinyproxy = await startTinyproxy({ maxClients: 1 })
    t.teardown(tinyproxy.stop)
    const held = connect(tinyproxy.port, '127.0.0.1')
    t.teardown(() => held.destroy())
    await once(held, 'connect')
    const probe = probeWith({ timeoutMs: hasty })
    await until('its only place is taken', async () => !(await probe(at(tinyproxy.port), never)).ok)
    t.match(await probe(at(tinyproxy.port), never), { ok: false, problem: 'no answer in time' })
  })

  t.test('nothing but the upstream is asked, for a port that nobody can reach', async (t) => {
    const { scripted, upstream } = await scriptedUpstream(t, refuse(500))
    await probeWith()(upstream, never)
    t.match(scripted.heads, [/^CONNECT 127\.0\.0\.1:1 HTTP\/1\.1\r\n/])
  })

  t.test(
    'what a proxy says of a target that it cannot reach is good; what a web server says is not',
    async (t) => {
      const rows = [
        { isGood: true, statuses: [200, 403, 429, 500, 502, 503] },
        { isGood: false, statuses: [302, 400, 404, 405] },
      ]
      for (const { isGood, statuses } of rows) {
        for (const status of statuses) {
          const { upstream, allClosed } = await scriptedUpstream(t, refuse(status))
          const problem = `it is no proxy, it seems (it answered ${status} to CONNECT)`
          const result = await probeWith()(upstream, never)
          if (isGood) t.strictSame(result, good, `${status}`)
          else t.match(result, { ok: false, problem }, `${status}`)
          await allClosed()
        }
      }
    },
  )

  const bad: { name: string; script: Script; timeoutMs?: number; problem: string }[] = [
    { name: 'silent', script: stayingSilent, timeoutMs: hasty, problem: 'no answer in time' },
    {
      name: 'slow',
      script: sayingSlowly('HTTP/1.1 500 Unable', { everyMs: 20 }),
      timeoutMs: hasty,
      problem: 'no answer in time',
    },
    { name: 'reset', script: resetting, problem: 'connection lost before an answer (ECONNRESET)' },
    { name: 'closed at once', script: closing, problem: 'connection closed before an answer' },
    { name: 'garbage', script: saying('SSH-2.0-x\r\n'), problem: 'its answer is not HTTP' },
    { name: '407', script: refuse(407), problem: 'it does not take our credentials (it answered 407)' },
    { name: '401', script: refuse(401), problem: 'it does not take our credentials (it answered 401)' },
  ]

  t.test('an upstream that gives no answer is bad, and nothing stays open', async (t) => {
    for (const { name, script, timeoutMs = patient, problem } of bad) {
      const { upstream, allClosed } = await scriptedUpstream(t, script)
      t.strictSame(await probeWith({ timeoutMs })(upstream, never), { ok: false, ms: 0, problem }, name)
      await allClosed()
    }
  })

  t.test('so is one that refuses the connection, or leaves it hanging', async (t) => {
    const refused = await probeWith()(at(await closedPort()), never)
    t.strictSame(refused, { ok: false, ms: 0, problem: 'connection refused' })
    const full = await startFullListener()
    t.teardown(full.close)
    const hanging = await probeWith({ timeoutMs: hasty })(at(full.port), never)
    t.strictSame(hanging, { ok: false, ms: 0, problem: 'it takes no connection in time' })
  })
})

t.test('with a URL', async (t) => {
  t.test('a real Tinyproxy is good, and the page tells the address that it was called from', async (t) => {
    const target = await startTarget()
    t.teardown(target.close)
    const result = await throughTinyproxy(t, { bind: '127.0.3.7' }, { url: `${target.origin}/ip` })
    t.strictSame(result, { ok: true, ms: 0, egressIp: '127.0.3.7' })
    t.match(target.requests, [{ method: 'GET', url: '/ip', address: '127.0.3.7' }])
    t.equal(target.connections().accepted, 1)
    await until('no connection to the page is left', () => target.connections().open === 0)
  })

  t.test('the same over TLS, and with credentials that only the upstream sees', async (t) => {
    const warnings: Error[] = []
    const warned = (warning: Error) => void warnings.push(warning)
    process.on('warning', warned)
    t.teardown(() => process.off('warning', warned))
    const target = await startTarget({ tls: true })
    t.teardown(target.close)
    const basicAuth = { user: 'lane', password: 'keeper' }
    const made = { url: target.origin, ca: cert, credentials: 'lane:keeper' }
    const result = await throughTinyproxy(t, { bind: '127.0.3.8', basicAuth }, made)
    t.strictSame(result, { ok: true, ms: 0, egressIp: '127.0.3.8' })
    t.notOk(target.requests[0]?.headers['proxy-authorization'])
    t.same(warnings, [], 'an address is no server name')
    await until('no connection to the page is left', () => target.connections().open === 0)
  })

  t.test('a page whose certificate nobody vouches for is bad', async (t) => {
    const target = await startTarget({ tls: true })
    t.teardown(target.close)
    const result = await throughTinyproxy(t, {}, { url: target.origin })
    t.match(result, { ok: false, problem: /^no TLS with the probe's URL through it \(\w+\)$/ })
    t.same(target.requests, [])
  })

  t.test('a page that the upstream cannot reach is bad', async (t) => {
    const url = `http://127.0.0.1:${await closedPort()}/`
    const problem = "it does not reach the probe's URL (it answered 500)"
    t.strictSame(await throughTinyproxy(t, {}, { url }), { ok: false, ms: 0, problem })
    const filtered = await throughTinyproxy(t, { connectPorts: [443] }, { url })
    t.match(filtered, { ok: false, problem: "it does not reach the probe's URL (it answered 403)" })
  })

  t.test('any 2xx is good; a redirect is not followed, and bad as any other status', async (t) => {
    const told: [number, boolean][] = [
      [200, true],
      [204, true],
      [302, false],
      [404, false],
      [503, false],
    ]
    for (const [status, ok] of told) {
      const { url, upstream, allClosed, pageClosed, accepted } = await pageOf(t, (_, res) => {
        res.writeHead(status, { location: '/elsewhere' }).end()
      })
      const result = await probeWith({ url })(upstream, never)
      t.match(result, ok ? { ok } : { ok, problem: `the probe's URL answered ${status} through it` })
      t.equal(accepted(), 1)
      await allClosed()
      await pageClosed()
    }
  })

  t.test('of a page without end no more than its limit is read', async (t) => {
    const { url, upstream, allClosed, pageClosed } = await pageOf(t, (_, res) => {
      const block = Buffer.alloc(16_384, ' ')
      const more = () => {
        if (!res.destroyed && res.write(block)) setImmediate(more)
      }
      res.on('drain', more)
      more()
    })
    t.strictSame(await probeWith({ url })(upstream, never), { ok: true, ms: 0, egressIp: null })
    await allClosed()
    await pageClosed()
  })

  t.test('an address behind the limit is not found, one at its very end is', async (t) => {
    const ip = '203.0.113.7'
    for (const [spaces, egressIp] of [
      [65_536 - ip.length, ip],
      [65_536, null],
    ] as const) {
      const { url, upstream } = await pageOf(t, (_, res) => void res.end(' '.repeat(spaces) + ip))
      t.match(await probeWith({ url })(upstream, never), { ok: true, egressIp })
    }
  })

  const broken: { name: string; answer: RequestListener; timeoutMs?: number; problem: RegExp }[] = [
    { name: 'says nothing', answer: () => {}, timeoutMs: hasty, problem: /^no answer .* in time$/ },
    {
      name: 'stops within its page',
      answer: (_, res) => void res.writeHead(200, { 'content-length': 9 }).write('203'),
      timeoutMs: hasty,
      problem: /^no answer .* in time$/,
    },
    {
      name: 'cuts its page off',
      answer: (_, res) => {
        res.writeHead(200, { 'content-length': 99 }).write('203.0.113.7')
        setImmediate(() => res.destroy())
      },
      problem: /^no answer of the probe's URL through it \(\w+\)$/,
    },
    {
      name: 'closes',
      answer: (req) => void req.socket.end(),
      problem: /^no answer of the probe's URL through it/,
    },
    {
      name: 'resets',
      answer: (req) => void req.socket.destroy(),
      problem: /^no answer of the probe's URL through it/,
    },
    {
      name: 'speaks no HTTP',
      answer: (req) => void req.socket.end('SSH-2.0-x\r\n'),
      problem: /^no answer of the probe's URL through it/,
    },
  ]

  t.test('a page that breaks is bad, once, and nothing stays open', async (t) => {
    for (const { name, answer, timeoutMs = patient, problem } of broken) {
      const { url, upstream, allClosed, pageClosed, accepted } = await pageOf(t, answer)
      t.match(await probeWith({ url, timeoutMs })(upstream, never), { ok: false, problem }, name)
      t.equal(accepted(), 1, 'no second try')
      await allClosed()
      await pageClosed()
    }
  })

  t.test('so is a page over TLS that says nothing', async (t) => {
    const { url, upstream, allClosed, pageClosed } = await pageOf(t, () => {}, { tls: true })
    const result = await probeWith({ url, timeoutMs: 2 * hasty, ca: cert })(upstream, never)
    t.match(result, { ok: false, problem: /^no answer .* in time$/ })
    await allClosed()
    await pageClosed()
  })

  t.test('a tunnel that is closed or reset as soon as it stands is bad', async (t) => {
    for (const script of [closing, resetting]) {
      const { upstream, allClosed } = await scriptedUpstream(t, saying('HTTP/1.0 200 OK\r\n\r\n', script))
      const result = await probeWith({ url: 'http://example.test/' })(upstream, never)
      t.match(result, { ok: false, problem: /^(no answer|connection lost)/ })
      await allClosed()
    }
  })

  t.test('a TLS handshake that never ends, or breaks, is bad', async (t) => {
    const cases: [string, Script, number, RegExp][] = [
      ['silent', saying('HTTP/1.0 200 OK\r\n\r\n'), hasty, /^no answer .* in time$/],
      ['echo', establishing(), patient, /^no TLS .* \(\w+\)$/],
      ['closes', saying('HTTP/1.0 200 OK\r\n\r\n', closing), patient, /^no TLS .* \(\w+\)$/],
      ['resets', saying('HTTP/1.0 200 OK\r\n\r\n', resetting), patient, /^no .* \(\w+\)$/],
    ]
    for (const [name, script, timeoutMs, problem] of cases) {
      const { upstream, allClosed } = await scriptedUpstream(t, script)
      const probe = probeWith({ url: 'https://example.test/', timeoutMs })
      t.match(await probe(upstream, never), { ok: false, problem }, name)
      await allClosed()
    }
  })

  t.test('the URL is asked for by its name and port', async (t) => {
    for (const [url, authority] of [
      ['https://example.test/ip', 'example.test:443'],
      ['http://example.test/ip', 'example.test:80'],
      ['https://[2001:db8::1]:8443', '[2001:db8::1]:8443'],
    ] as const) {
      const { scripted, upstream } = await scriptedUpstream(t, refuse(500))
      await probeWith({ url })(upstream, never)
      t.ok(scripted.heads[0]?.startsWith(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n`), url)
    }
  })
})

t.test('time', async (t) => {
  t.test('is what passed on the clock', async (t) => {
    const clock = makeFakeClock()
    const { upstream } = await scriptedUpstream(t, (connection) => {
      clock.advance(42)
      return refuse(500)(connection)
    })
    t.match(await probeWith({ now: clock.now })(upstream, never), { ok: true, ms: 42 })
  })

  const ours = { ok: false, problem: 'this process stood still', isOurs: true }

  t.test('in which this process stood still makes neither good nor bad', async (t) => {
    for (const script of [refuse(500), closing]) {
      for (const [stoodMs, isOurs] of [
        [1250, undefined],
        [1251, true],
      ] as const) {
        const clock = makeFakeClock()
        const { upstream } = await scriptedUpstream(t, (connection) => {
          clock.advance(stoodMs)
          return script(connection)
        })
        const result = await probeWith({ now: clock.now })(upstream, never)
        if (isOurs) t.strictSame(result, { ...ours, ms: stoodMs })
        else t.notHas(result, { isOurs: true })
      }
    }
  })

  t.test('far beyond the limit makes neither good nor bad', async (t) => {
    // Between two looks nothing is seen to stand still; only the whole is too long.
    const late = [1000, patient + 2001]
    let isAsked = false
    const { upstream } = await scriptedUpstream(t, (connection) => {
      isAsked = true
      return closing(connection)
    })
    const now = () => (isAsked ? (late.length > 1 ? late.shift()! : late[0]!) : 0)
    t.strictSame(await probeWith({ now })(upstream, never), { ...ours, ms: patient + 2001 })
  })

  t.test('is no evidence after a real stall, whose time limit is told before anything else', async (t) => {
    const { upstream } = await scriptedUpstream(t, () => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500)
    })
    const probe = probeWith({ timeoutMs: 1000, now: () => performance.now() })
    t.match(await probe(upstream, never), ours)
  })
})

t.test('an abort ends it with its reason, and nothing stays open', async (t) => {
  const reason = new Error('stopping')
  t.test('before', async (t) => {
    const { scripted, upstream } = await scriptedUpstream(t, stayingSilent)
    await t.rejects(probeWith()(upstream, AbortSignal.abort(reason)), reason)
    t.equal(scripted.connections().accepted, 0)
  })

  t.test('while the upstream is silent', async (t) => {
    const over = new AbortController()
    const { upstream, allClosed } = await scriptedUpstream(t, () => over.abort(reason))
    await t.rejects(probeWith()(upstream, over.signal), reason)
    await allClosed()
  })

  t.test('while the page is silent', async (t) => {
    const over = new AbortController()
    const { url, upstream, allClosed, pageClosed } = await pageOf(t, () => over.abort(reason))
    await t.rejects(probeWith({ url })(upstream, over.signal), reason)
    await allClosed()
    await pageClosed()
  })
})

t.test('many at once: each has its own result, and nothing stays open', async (t) => {
  const { scripted, upstream, allClosed } = await scriptedUpstream(t, (connection) =>
    (connection.index % 2 === 0 ? refuse(500) : closing)(connection),
  )
  const probe = probeWith()
  const results = await Promise.all(Array.from({ length: 200 }, () => probe(upstream, never)))
  t.equal(results.filter(({ ok }) => ok).length, 100)
  t.equal(scripted.connections().accepted, 200)
  await allClosed()
})

t.test('until good', async (t) => {
  const good = (egressIp: string): ProbeResult => ({ ok: true, ms: 1, egressIp })
  const bad: ProbeResult = { ok: false, ms: 1, problem: 'connection refused' }

  async function until(times: number, ...results: ProbeResult[]) {
    const seen: string[] = []
    const probe = async ({ id }: { id: string }) => {
      seen.push(id)
      return results[seen.length - 1]!
    }
    return { result: await probeUntilGood(probe, at(1), times, never), asked: seen.length }
  }

  t.test('so many good ones in a row, and the last one is answered', async (t) => {
    t.strictSame(await until(2, good('203.0.113.7'), good('203.0.113.8')), {
      result: good('203.0.113.8'),
      asked: 2,
    })
    t.strictSame(await until(1, good('203.0.113.7')), { result: good('203.0.113.7'), asked: 1 })
  })

  t.test('the first bad one ends it', async (t) => {
    t.strictSame(await until(2, bad, good('203.0.113.7')), { result: bad, asked: 1 })
    t.strictSame(await until(3, good('203.0.113.7'), bad), { result: bad, asked: 2 })
  })
})
