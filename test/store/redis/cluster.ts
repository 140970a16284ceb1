// Views of a Cluster; test/integration/redis-cluster.ts runs the store on a real one.

import t from 'tap'
import { clusterView, type SlotRange } from '../../../src/store/redis/cluster.ts'

const asked = { host: '10.0.0.1', port: 6379 }
const info = 'cluster_state:ok\r\ncluster_current_epoch:7\r\n'
const ranges: SlotRange[] = [
  [0, 99, ['10.0.0.1', 6379], ['10.0.0.2', 6379]],
  [100, 16383, ['10.0.0.3', 6380], ['10.0.0.1', 6379]],
]

t.test('the primary of the slot is ours, and all nodes may be asked next time', async (t) => {
  const others = [asked, { host: '10.0.0.2', port: 6379 }, { host: '10.0.0.3', port: 6380 }]
  t.same(clusterView({ asked, info, slot: 99, ranges }), { primary: asked, others, epoch: 7 })
  t.match(clusterView({ asked, info, slot: 100, ranges }), { primary: { host: '10.0.0.3', port: 6380 } })
})

t.test('a node that does not say its address is where we reached it', async (t) => {
  for (const host of [null, '']) {
    const view = clusterView({ asked, info, slot: 5, ranges: [[0, 16383, [host, 6381]]] })
    t.same(view.primary, { host: '10.0.0.1', port: 6381 })
  }
})

t.test('without a primary for our slot, or without the others, a node cannot know', async (t) => {
  const cases: { info?: string; ranges: SlotRange[] }[] = [
    { ranges: [] },
    { ranges: [[0, 4, ['10.0.0.1', 6379]]] },
    { ranges: [[0, 16383]] },
    { ranges: [[0, 16383, ['?', 6379]]] },
    { info: 'cluster_enabled:1\r\ncluster_state:fail\r\n', ranges },
  ]
  for (const some of cases)
    t.throws(() => clusterView({ asked, info, slot: 5, ...some }), { code: 'CLUSTERDOWN' })
})
