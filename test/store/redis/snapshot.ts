import t from 'tap'
import { openOn, redisFor } from '../../fixtures/redis-under-test.ts'
import { snapshotsContract } from '../../fixtures/snapshots-contract.ts'

const redis = await redisFor(t)

snapshotsContract(t, openOn(redis))
