// One gateway over two observations. What many of them mean for a drain: traffic.ts.

import t from 'tap'
import { seeGateways, silenceOf, type SeenGateway } from '../../src/control/gateways-seen.ts'

const dayMs = 24 * 60 * 60 * 1000
const report = { id: 'gw-1', version: 1, tunnels: {}, pins: {}, sentAtMs: 77 }
const newer = { ...report, version: 2, sentAtMs: 78 }
const earlier = { index: 3, published: 5 }
const last = { index: 4, published: 6 }
const listed: SeenGateway = {
  report,
  heardMs: 1000,
  isListed: true,
  heardAfter: earlier,
  caughtUpWith: { index: 2, published: 4 },
}
const lost: SeenGateway = { ...listed, isListed: false, heardAfter: null, caughtUpWith: null }
const fromNow = { heardMs: 2010, heardAfter: null, caughtUpWith: null }

type Row = {
  name: string
  before: SeenGateway | null
  found: typeof report | null
  isSameStore?: boolean
  startedMs?: number
  after: SeenGateway | null
}

const rows: Row[] = [
  {
    name: 'its first report is heard when reading has ended',
    before: null,
    found: report,
    after: { report, heardMs: 2010, isListed: true, heardAfter: last, caughtUpWith: null },
  },
  { name: 'the same report again is nothing new', before: listed, found: report, after: listed },
  {
    name: 'with a newer one it has caught up with what was there before the one before',
    before: listed,
    found: newer,
    after: { report: newer, heardMs: 2010, isListed: true, heardAfter: last, caughtUpWith: earlier },
  },
  {
    name: 'one with another time is another one, though the store went back in time',
    before: { ...listed, report: newer },
    found: report,
    after: { report, heardMs: 2010, isListed: true, heardAfter: last, caughtUpWith: earlier },
  },
  { name: 'gone from the same store it has signed off', before: listed, found: null, after: null },
  {
    name: 'gone with the store it is silent from now on',
    before: listed,
    found: null,
    isSameStore: false,
    after: { ...listed, ...fromNow, isListed: false },
  },
  {
    name: 'an old report in another store proves nothing there',
    before: listed,
    found: report,
    isSameStore: false,
    after: { ...listed, ...fromNow },
  },
  {
    name: 'a first report in another store follows nothing of the old one',
    before: listed,
    found: newer,
    isSameStore: false,
    after: { ...listed, ...fromNow, report: newer },
  },
  { name: 'one that was lost is remembered', before: lost, found: null, after: lost },
  {
    name: 'one that was lost is remembered for less than a day',
    before: lost,
    found: null,
    startedMs: 999 + dayMs,
    after: lost,
  },
  {
    name: 'one that was lost is forgotten after a day',
    before: lost,
    found: null,
    startedMs: 1000 + dayMs,
    after: null,
  },
  {
    name: 'one that was lost, and then again, is silent from then on',
    before: lost,
    found: null,
    isSameStore: false,
    startedMs: 1000 + dayMs,
    after: { ...lost, heardMs: 1010 + dayMs },
  },
  {
    name: 'one that was lost and is back has one report',
    before: lost,
    found: newer,
    after: { report: newer, heardMs: 2010, isListed: true, heardAfter: last, caughtUpWith: null },
  },
  {
    name: 'one that was lost is back in the store of before as it was',
    before: lost,
    found: report,
    isSameStore: false,
    after: { ...listed, ...fromNow },
  },
]

for (const { name, before, found, isSameStore = true, startedMs = 2000, after } of rows) {
  t.test(name, async (t) => {
    const seen = new Map(before ? [['gw-1', before]] : [])
    const reports = found ? [found] : []
    const endedMs = startedMs + 10
    const now = seeGateways(seen, { reports, isSameStore, last, startedMs, endedMs })
    t.strictSame([...now], after ? [['gw-1', after]] : [])
    t.strictSame([...seen], before ? [['gw-1', before]] : [], 'what was seen before stays as it was')
  })
}

t.test('each gateway by itself', async (t) => {
  const seen = new Map(['gw-1', 'gw-2'].map((id) => [id, { ...listed, report: { ...report, id } }]))
  const reports = [
    { ...newer, id: 'gw-2' },
    { ...newer, id: 'gw-3' },
  ]
  const now = seeGateways(seen, { reports, isSameStore: true, last, startedMs: 2000, endedMs: 2010 })
  t.strictSame(
    [...now].map(([id, { caughtUpWith }]) => [id, caughtUpWith?.index ?? null]),
    [
      ['gw-2', 3],
      ['gw-3', null],
    ],
  )
})

t.test('silence is counted to the begin of an observation, and never below none', async (t) => {
  t.equal(silenceOf(listed, 1500), 500)
  t.equal(silenceOf(listed, 999), 0)
})
