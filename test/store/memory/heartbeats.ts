import t from 'tap'
import { openMemory } from '../../fixtures/memory-under-test.ts'
import { heartbeatsContract } from '../../fixtures/heartbeats-contract.ts'

heartbeatsContract(t, openMemory)
