import t from 'tap'
import { makeTunnelLimits } from '../../src/gateway/tunnel-limits.ts'

const none = { maxTunnels: 1000, tunnelsPerJob: null, tunnelsPerToken: null }
const by = (id: string, token: string | null = null, type: string | null = null) => ({
  job: { id, type, institution: null },
  token,
})

t.test('so many tunnels in all', async (t) => {
  const limits = makeTunnelLimits({ ...none, maxTunnels: 2 })
  const first = limits.take(by('a'))
  limits.take(by('a'))
  t.throws(() => limits.take(by('b')), { code: 'overloaded', status: 503, message: /gateway\.maxTunnels/ })
  first.free()
  first.free()
  limits.take(by('b'))
  t.throws(() => limits.take(by('c')), { code: 'overloaded' }, 'freed twice is freed once')
})

t.test('so many of one job, whatever it says of its type', async (t) => {
  const limits = makeTunnelLimits({ ...none, tunnelsPerJob: 2 })
  const first = limits.take(by('a', null, 'payment'))
  limits.take(by('a'))
  t.throws(() => limits.take(by('a')), { code: 'rate_limited', status: 429, fields: { job: 'a' } })
  limits.take(by('b'))
  first.free()
  limits.take(by('a'))
})

t.test('so many by one token, over all its jobs; without one there is no such limit', async (t) => {
  const limits = makeTunnelLimits({ ...none, tunnelsPerToken: 2 })
  const first = limits.take(by('a', 'payments'))
  limits.take(by('b', 'payments'))
  t.throws(() => limits.take(by('c', 'payments')), { code: 'rate_limited', status: 429 })
  limits.take(by('c', 'statements'))
  for (const id of ['d', 'e', 'f']) limits.take(by(id))
  first.free()
  limits.take(by('c', 'payments'))
})

t.test('what was refused takes nothing, and what ended leaves nothing', async (t) => {
  const limits = makeTunnelLimits({ maxTunnels: 50, tunnelsPerJob: 1, tunnelsPerToken: 30 })
  const places = []
  for (let n = 0; n < 200; n++) {
    try {
      places.push(limits.take(by(`job-${n % 45}`, ['payments', 'statements', null][n % 3] ?? null)))
    } catch {
      // It is the places that count here.
    }
  }
  t.equal(limits.taken, 45)
  for (const place of places) place.free()
  t.equal(limits.taken, 0)
  t.equal(limits.counted, 0)
})

t.test('a limit that comes later counts what is open, and leaves it open', async (t) => {
  const settings: { maxTunnels: number; tunnelsPerJob: number | null; tunnelsPerToken: number | null } = {
    ...none,
  }
  const limits = makeTunnelLimits(settings)
  const places = [1, 2, 3].map(() => limits.take(by('a', 'payments')))
  settings.tunnelsPerJob = 3
  t.throws(() => limits.take(by('a')), { code: 'rate_limited', message: /3 tunnels.*tunnelsPerJob/ })
  Object.assign(settings, { tunnelsPerJob: null, tunnelsPerToken: 2 })
  t.throws(() => limits.take(by('b', 'payments')), { code: 'rate_limited', message: /tunnelsPerToken/ })
  Object.assign(settings, { tunnelsPerToken: null, maxTunnels: 2 })
  t.throws(() => limits.take(by('c')), { code: 'overloaded' })
  for (const place of places) place.free()
  t.equal(limits.counted, 0)
})
