// Views of sentinels; test/integration/redis-sentinel.ts runs the store behind a real one.

import t from 'tap'
import { sentinelView } from '../../../src/store/redis/sentinels.ts'

t.test('what a sentinel says is read', async (t) => {
  const view = sentinelView({
    address: ['10.0.0.1', '6379'],
    primary: ['name', 'main', 'ip', '10.0.0.9', 'config-epoch', '4'],
    sentinels: [
      ['name', 'a', 'ip', '10.0.1.1', 'port', '26379'],
      ['ip', '10.0.1.1', 'port', '26379'],
      ['ip', '', 'port', '26379'],
      ['name', 'without an address'],
    ],
  })
  t.same(view, {
    primary: { host: '10.0.0.1', port: 6379 },
    others: [{ host: '10.0.1.1', port: 26379 }],
    epoch: 4,
  })
})

t.test('a sentinel that knows nobody of that name cannot know', async (t) => {
  t.throws(() => sentinelView({ address: null, primary: [], sentinels: [] }), { code: 'NOPRIMARY' })
})
