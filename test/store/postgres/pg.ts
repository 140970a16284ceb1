import t from 'tap'
import { closingContract, dbContract } from '../../fixtures/db-contract.ts'
import { pgOn } from '../../fixtures/db-under-test.ts'
import { postgresFor } from '../../fixtures/postgres.ts'

const server = await postgresFor(t)

dbContract(t, pgOn(server))
closingContract(t, pgOn(server))
