import t from 'tap'
import { openMemory } from '../../fixtures/memory-under-test.ts'
import { feedContract } from '../../fixtures/feed-contract.ts'

feedContract(t, openMemory)
