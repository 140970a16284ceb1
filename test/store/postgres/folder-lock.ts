import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { lockFolder } from '../../../src/store/postgres/folder-lock.ts'
import { temporaryFolder } from '../../fixtures/pglite-folder.ts'

const source = new URL('../../../src/store/postgres/folder-lock.ts', import.meta.url)

/** Another process that has the lock and prints so. */
async function holder(t: Test, folder: string) {
  const program = `
    const { lockFolder } = await import(${JSON.stringify(source.href)})
    const lock = lockFolder(${JSON.stringify(folder)})
    process.stdout.write('locked')
    setInterval(() => lock, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {},
  })
  t.teardown(() => child.kill('SIGKILL'))
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  await once(child.stdout, 'data')
  return { child, errors: () => errors }
}

t.test('a folder has one holder, also within one process', async (t) => {
  const folder = await temporaryFolder(t)
  const lock = lockFolder(folder)
  t.throws(() => lockFolder(folder), {
    message: `The data folder ${folder} is in use by another Lanekeeper; stop that one, or set DATA_DIR to another folder.`,
  })
  const other = lockFolder(await temporaryFolder(t))
  other.release()
  lock.release()
  lock.release()
  lockFolder(folder).release()
})

t.test('a holder that is killed holds nothing any more, and nothing was warned of', async (t) => {
  const folder = await temporaryFolder(t)
  const { child, errors } = await holder(t, folder)
  t.throws(() => lockFolder(folder), /is in use by another Lanekeeper/)
  child.kill('SIGKILL')
  await once(child, 'exit')
  lockFolder(folder).release()
  t.equal(errors(), '')
})

t.test('a folder is made where it is missing, for its owner alone', async (t) => {
  const folder = join(await temporaryFolder(t), 'a', 'b')
  lockFolder(folder).release()
})

t.test('a folder that cannot be used: its path, why, and what to do', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'file')
  await writeFile(file, '')
  const strange = join(folder, 'strange')
  await mkdir(join(strange, 'lock'), { recursive: true })
  const readOnly = join(folder, 'read-only')
  await mkdir(readOnly)
  await chmod(readOnly, 0o500)
  const cannot = [file, join(file, 'in-a-file'), strange]
  // Root may write anywhere.
  if (process.getuid?.() !== 0) cannot.push(readOnly, join(readOnly, 'in-it'))
  for (const path of cannot)
    t.throws(() => lockFolder(path), {
      message: new RegExp(`^The data folder ${path} cannot be used: .+DATA_DIR`),
    })
})
