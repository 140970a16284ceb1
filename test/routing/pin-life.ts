import t from 'tap'
import { makeKnownPins } from '../../src/routing/known-pins.ts'
import { holdEveryMs, isPinned, trustMs } from '../../src/routing/pin-life.ts'

const life = (idleMs: number) => ({ idleMs, maxLifeMs: 86_400_000 })

t.test('a remembered pin is trusted for less than its idle time', async (t) => {
  t.equal(trustMs(life(600_000)), 570_000, '30 s less')
  t.equal(trustMs(life(60_000)), 45_000, 'a quarter less where that is shorter')
  t.equal(trustMs(life(1000)), 750)
})

t.test('a held pin is touched well before its trust ends', async (t) => {
  for (const idleMs of [1000, 60_000, 600_000, 604_800_000])
    t.ok(holdEveryMs(life(idleMs)) < trustMs(life(idleMs)), `${idleMs} ms`)
})

t.test('without the store, a pin stands while it is held, and for its idle time after', async (t) => {
  const known = makeKnownPins({ limit: 10, gatewayId: 'gw-1' })
  const job = { id: 'job-1', type: null, institution: null }
  const stored = { job, upstreamId: 'up-1', freshBy: null, pinnedAtMs: 0, expiresAtMs: 0 }
  const pin = known.remember(stored, { now: 1000, trustedUntilMs: 0 })
  t.ok(isPinned(pin, life(5000), 5999))
  t.notOk(isPinned(pin, life(5000), 6000))
  known.hold(pin)
  t.ok(isPinned(pin, life(5000), 1_000_000))
})
