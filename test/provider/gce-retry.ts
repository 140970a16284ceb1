import t from 'tap'
import { retrying, waitAfter } from '../../src/provider/gce-retry.ts'
import { ProviderError, providerErrorCodes, type ProviderErrorCode } from '../../src/provider/provider.ts'

t.test('only what may pass is waited for, twice as long each time, to a limit', async (t) => {
  const waits = (code: ProviderErrorCode, chance: number) =>
    [0, 1, 2, 3, 9].map((attempt) => waitAfter(new ProviderError(code, ''), attempt, chance))
  t.strictSame(waits('unavailable', 0), [500, 1000, 2000, 4000, 20_000])
  t.strictSame(waits('rate_limited', 0), [3000, 6000, 12_000, 20_000, 20_000])
  t.strictSame(waits('unavailable', 0.5), [375, 750, 1500, 3000, 15_000])
  for (const code of providerErrorCodes.filter((one) => one !== 'unavailable' && one !== 'rate_limited'))
    t.strictSame(waits(code, 0), [null, null, null, null, null])
  t.equal(waitAfter(new TypeError('x'), 0, 0), null)
})

t.test('it is tried so often, and no more', async (t) => {
  let calls = 0
  const waits: number[] = []
  const delay = async (ms: number) => void waits.push(ms)
  const failing = async () => {
    calls += 1
    throw new ProviderError('unavailable', `call ${calls}`)
  }
  const patience = { retries: 2, delay, random: () => 0, signal: undefined }
  await t.rejects(retrying(failing, patience), { message: 'call 3' })
  t.strictSame(waits, [500, 1000])
  t.equal(await retrying(async () => (calls += 1), patience), 4)
})

t.test('who aborts gets the reason, while it calls and while it waits', async (t) => {
  const abort = new AbortController()
  const aborting = async () => {
    abort.abort(new Error('not any more'))
    throw new ProviderError('unavailable', 'the network is gone')
  }
  const patience = { retries: 9, delay: async () => void t.fail(), random: () => 0, signal: abort.signal }
  await t.rejects(retrying(aborting, patience), { message: 'not any more' })
})
