import t from 'tap'
import { readNotice } from '../../../src/store/redis/feed.ts'
import { openOn, redisFor } from '../../fixtures/redis-under-test.ts'
import { feedContract } from '../../fixtures/feed-contract.ts'

const redis = await redisFor(t)

feedContract(t, openOn(redis))

t.test('what a newer program says is passed over', (t) => {
  for (const text of [
    '',
    'released',
    '[]',
    '{"f":2,"moved":"job-1"}',
    '{"released":1,"at":2}',
    '{"released":"j","at":"2"}',
  ])
    t.equal(readNotice(text), null, text)
  t.same(readNotice('{"f":1,"released":"j","at":2,"new":1}'), { kind: 'released', jobId: 'j', pinnedAtMs: 2 })
  t.end()
})
