import t from 'tap'
import { openMemory } from '../../fixtures/memory-under-test.ts'
import { reportsContract } from '../../fixtures/reports-contract.ts'

reportsContract(t, openMemory)
