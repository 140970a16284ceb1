import t from 'tap'
import { openOn, redisFor } from '../../fixtures/redis-under-test.ts'
import { pinsContract } from '../../fixtures/pins-contract.ts'

const redis = await redisFor(t)

pinsContract(t, openOn(redis))
