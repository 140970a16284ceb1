// A data folder belongs to one process at a time. The lock is the kernel's (SQLite's on a file in it), so it ends with
// the process, however that ends, and is never stale.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'

export type FolderLock = { release(): void }

/** https://sqlite.org/rescode.html#busy */
const busy = 5

/**
 * Makes the folder where it is missing.
 * @throws Error, for people, where it is in use or cannot be used
 */
export function lockFolder(folder: string): FolderLock {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    return takeLock(join(folder, 'lock'))
  } catch (error) {
    if (isBusy(error)) {
      const advice = 'stop that one, or set DATA_DIR to another folder.'
      throw new Error(`The data folder ${folder} is in use by another Lanekeeper; ${advice}`, {
        cause: error,
      })
    }
    const reason = error instanceof Error ? error.message : String(error)
    const advice = 'Make it readable and writable, or set DATA_DIR to another folder.'
    throw new Error(`The data folder ${folder} cannot be used: ${reason}. ${advice}`, { cause: error })
  }
}

/** Nobody may open this file in another way: to close it again would end the lock (POSIX). */
function takeLock(path: string): FolderLock {
  const { DatabaseSync } = sqlite()
  const file = new DatabaseSync(path)
  try {
    // Without a journal: one that is left behind would be looked at by the next.
    file.exec('pragma journal_mode = off; pragma locking_mode = exclusive; begin exclusive')
  } catch (error) {
    file.close()
    throw error
  }
  return { release: () => release(file) }
}

function release(file: DatabaseSync): void {
  if (file.isOpen) file.close()
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === busy
}

/** Node 22 calls SQLite experimental when it is first loaded; of it we use a file lock. */
function sqlite(): typeof import('node:sqlite') {
  const { emitWarning } = process
  process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
    if (rest[0] !== 'ExperimentalWarning') Reflect.apply(emitWarning, process, [warning, ...rest])
  }
  try {
    return process.getBuiltinModule('node:sqlite')
  } finally {
    process.emitWarning = emitWarning
  }
}
