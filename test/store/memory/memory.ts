import t from 'tap'
import { identityContract } from '../../fixtures/identity-contract.ts'
import { openMemory } from '../../fixtures/memory-under-test.ts'

identityContract(t, openMemory)
