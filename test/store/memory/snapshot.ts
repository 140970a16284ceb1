import t from 'tap'
import { openMemory } from '../../fixtures/memory-under-test.ts'
import { snapshotsContract } from '../../fixtures/snapshots-contract.ts'

snapshotsContract(t, openMemory)
