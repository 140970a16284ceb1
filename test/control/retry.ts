import t from 'tap'
import { problemOf, ProbeFailure, retryAfterMs } from '../../src/control/retry.ts'
import { ControlError, GatewayError } from '../../src/errors.ts'
import { ProviderError, providerErrorCodes, type ProviderErrorCode } from '../../src/provider/provider.ts'

const provider = (code: ProviderErrorCode) => new ProviderError(code, 'what to do')

t.test('the wait grows with each failure, up to a minute', async (t) => {
  const waits = (error: unknown) => [0, 1, 2, 5, 6, 7, 1000].map((attempts) => retryAfterMs(error, attempts))
  const growing = [1000, 2000, 4000, 32_000, 60_000, 60_000, 60_000]
  t.same(waits(provider('unavailable')), growing)
  t.same(waits(provider('not_found')), growing)
  t.same(waits(new Error('a bug')), growing)
  t.same(waits(new ControlError('database_unavailable', 'away')), growing)
})

t.test('probes are repeated sooner: a machine that boots is wanted as soon as it serves', async (t) => {
  const waits = [0, 1, 2, 3, 4, 5, 1000].map((attempts) => retryAfterMs(new ProbeFailure('no'), attempts))
  t.same(waits, [500, 1000, 2000, 4000, 8000, 10_000, 10_000])
})

t.test('where soon cannot help, the first wait is as long as the last', async (t) => {
  const rows = [
    ['rate_limited', 60_000],
    ['quota', 60_000],
    ['no_capacity', 60_000],
    ['refused', 300_000],
  ] as const
  for (const [code, ms] of rows)
    for (const attempts of [0, 7]) t.equal(retryAfterMs(provider(code), attempts), ms, `${code} ${attempts}`)
})

t.test('no wait is shorter than the first, nor endless', async (t) => {
  for (const code of providerErrorCodes)
    for (const attempts of [0, 1, 50, 5000]) {
      const ms = retryAfterMs(provider(code), attempts)
      t.ok(ms >= 500 && ms <= 300_000, `${code} ${attempts}: ${ms}`)
    }
})

t.test('problems as people are told of them', async (t) => {
  const rows: readonly (readonly [unknown, string])[] = [
    [provider('quota'), 'quota: what to do'],
    [new ProbeFailure('connection refused'), 'probe: connection refused'],
    [new ControlError('conflict', 'it is deleted'), 'conflict: it is deleted'],
    [new GatewayError('store_unavailable', { detail: 'away' }), 'store_unavailable: away'],
    [new TypeError('x is not a function'), 'internal: x is not a function'],
    ['thrown', 'internal: thrown'],
  ]
  for (const [error, problem] of rows) t.equal(problemOf(error), problem)
})
