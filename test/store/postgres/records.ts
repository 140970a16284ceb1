import t from 'tap'
import { bouncerFor } from '../../fixtures/pgbouncer.ts'
import { postgresFor } from '../../fixtures/postgres.ts'
import { recordsContract } from '../../fixtures/records-contract.ts'
import { recordsEmbedded, recordsOnServer } from '../../fixtures/records-under-test.ts'

const server = await postgresFor(t)
const onServer = await recordsOnServer(server)
const throughBouncer = await recordsOnServer(await bouncerFor(t, server))
const embedded = await recordsEmbedded(t)

t.test('on a PostgreSQL server', async (t) => recordsContract(t, onServer))
t.test('through PgBouncer in transaction mode', async (t) => recordsContract(t, throughBouncer))
t.test('embedded', async (t) => recordsContract(t, embedded))
