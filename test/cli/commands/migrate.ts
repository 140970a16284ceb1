import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { runCli } from '../../fixtures/command-line.ts'
import { closedPort } from '../../fixtures/listen.ts'

t.test('it brings the database up to date, and may be repeated', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'lanekeeper-data-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  for (const time of ['first', 'second']) {
    const { code, out, err } = await runCli(['migrate'], { DATA_DIR: folder })
    t.equal(code, 0, `${time}: ${err}`)
    t.equal(out, 'The database is up to date.\n')
  }
})

t.test('a database that is not there is a failure, and no password is told', async (t) => {
  const { code, out, err } = await runCli(['migrate'], {
    DATABASE_URL: `postgres://lanekeeper:s3cret@127.0.0.1:${await closedPort()}/lanekeeper`,
  })
  t.equal(code, 1)
  t.equal(out, '')
  t.match(err, /database_unavailable/)
  t.notMatch(err, 's3cret')
})
