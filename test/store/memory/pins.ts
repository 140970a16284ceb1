import t from 'tap'
import { openMemory } from '../../fixtures/memory-under-test.ts'
import { pinsContract } from '../../fixtures/pins-contract.ts'

pinsContract(t, openMemory)
