import t from 'tap'
import { postgresFor } from '../../fixtures/postgres.ts'
import { recordsContract } from '../../fixtures/records-contract.ts'
import { recordsEmbedded, recordsOnServer } from '../../fixtures/records-under-test.ts'

const onServer = await recordsOnServer(await postgresFor(t))
const embedded = await recordsEmbedded(t)

t.test('on a PostgreSQL server', async (t) => recordsContract(t, onServer))
t.test('embedded', async (t) => recordsContract(t, embedded))
