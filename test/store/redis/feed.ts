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
    '{"pinned":"j","until":2,"pin":{"f":99,"u":"up-1","at":1}}',
    '{"pinned":"j","until":2}',
    '{"touched":{}}',
    '{"beat":"gw-1"}',
    'null',
  ])
    t.equal(readNotice(text), null, text)
  t.same(readNotice('{"touched":[["j","u",true,1],["k"],null,3]}'), {
    kind: 'touched',
    touches: [{ jobId: 'j', upstreamId: 'u', used: true }],
  })
  t.same(readNotice('{"f":1,"released":"j","at":2,"new":1}'), { kind: 'released', jobId: 'j', pinnedAtMs: 2 })
  t.end()
})
