import t from 'tap'
import { openOn, redisFor } from '../../fixtures/redis-under-test.ts'
import { heartbeatsContract } from '../../fixtures/heartbeats-contract.ts'

const redis = await redisFor(t)

heartbeatsContract(t, openOn(redis))
