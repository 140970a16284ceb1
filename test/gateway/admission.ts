import t from 'tap'
import { makeAdmission, sourceOf, type Admission, type Place } from '../../src/gateway/admission.ts'

const roomy = { maxConnections: 100, connectionsPerSource: 100, headsPerSource: 100 }

function enter(admission: Admission, address = '192.0.2.1'): Place {
  const place = admission.enter(address)
  if ('error' in place) throw place.error
  return place
}

t.test('so many connections in all, whoever asks', async (t) => {
  const admission = makeAdmission({ ...roomy, maxConnections: 2 })
  const first = enter(admission, '192.0.2.1')
  enter(admission, '192.0.2.2')
  t.match(admission.enter('192.0.2.3'), {
    reason: 'connections',
    error: { code: 'overloaded', status: 503, token: 'connection_limit_reached' },
  })
  first.leave()
  enter(admission, '192.0.2.3')
})

t.test('so many connections of one source; others are not touched', async (t) => {
  const admission = makeAdmission({ ...roomy, connectionsPerSource: 2 })
  const first = enter(admission)
  first.headIsWhole()
  enter(admission).headIsWhole()
  t.match(admission.enter('192.0.2.1'), { reason: 'source', error: { code: 'rate_limited', status: 429 } })
  enter(admission, '192.0.2.2')
  first.leave()
  enter(admission)
})

t.test('so many of one source without a whole head', async (t) => {
  const admission = makeAdmission({ ...roomy, headsPerSource: 2 })
  const first = enter(admission)
  const second = enter(admission)
  t.match(admission.enter('192.0.2.1'), { reason: 'heads', error: { code: 'rate_limited', status: 429 } })
  enter(admission, '192.0.2.2')
  first.headIsWhole()
  first.headIsWhole()
  const third = enter(admission)
  t.match(admission.enter('192.0.2.1'), { reason: 'heads' }, 'said twice is said once')
  second.leave()
  second.leave()
  enter(admission)
  t.match(admission.enter('192.0.2.1'), { reason: 'heads' }, 'and left twice is left once')
  third.leave()
})

t.test('what was refused takes nothing, and what ended leaves nothing', async (t) => {
  const admission = makeAdmission({ maxConnections: 3, connectionsPerSource: 2, headsPerSource: 1 })
  const places: Place[] = []
  for (let n = 0; n < 200; n++) {
    const place = admission.enter(`192.0.2.${n % 50}`)
    if ('leave' in place) places.push(place)
  }
  t.equal(places.length, 3)
  t.equal(admission.connections, 3)
  for (const place of places) place.leave()
  t.equal(admission.connections, 0)
  t.equal(admission.sources, 0)
})

t.test('which addresses are one source', async (t) => {
  const same: readonly (readonly [string, string])[] = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:201', '192.0.2.1'],
    ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2::/64'],
    ['2001:db8:1:3::1', '2001:db8:1:3::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:0:0:1::1', '2001:0:0:1::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['1:2:3:4:5:6:7::', '1:2:3:4::/64'],
  ]
  for (const [address, source] of same) t.equal(sourceOf(address), source, address)
})

t.test('limits that change hold for who comes; who is in stays', async (t) => {
  const limits = { ...roomy }
  const admission = makeAdmission(limits)
  const places = [enter(admission), enter(admission)]
  limits.maxConnections = 2
  t.match(admission.enter('192.0.2.2'), { reason: 'connections' })
  Object.assign(limits, roomy, { connectionsPerSource: 2 })
  t.match(admission.enter('192.0.2.1'), { reason: 'source' })
  Object.assign(limits, roomy)
  places.push(enter(admission))
  for (const place of places) place.leave()
  t.equal(admission.connections, 0)
})

t.test('it tells how many heads of a connection have come', async (t) => {
  const place = enter(makeAdmission(roomy))
  t.equal(place.heads, 0)
  place.headIsWhole()
  place.headIsWhole()
  t.equal(place.heads, 2)
})
