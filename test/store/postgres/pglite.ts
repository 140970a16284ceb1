import t from 'tap'
import { dbContract } from '../../fixtures/db-contract.ts'
import { pgliteFor } from '../../fixtures/db-under-test.ts'

dbContract(t, await pgliteFor(t))
