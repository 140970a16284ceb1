import t from 'tap'
import { openOn, redisFor } from '../../fixtures/redis-under-test.ts'
import { reportsContract } from '../../fixtures/reports-contract.ts'

const redis = await redisFor(t)

reportsContract(t, openOn(redis))
