// What `local` remembers of its upstreams: one small JSON file each under <dataDir>/local, so that a process
// started after a crash finds what the former one left running. Only the host that wrote a record reads it.

import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Instance } from './provider.ts'
import type { ProcessMark } from './local-process.ts'

/** What is not the same for all. Written by an older program it has no time. */
export type LocalInstance = Omit<Instance, 'zone' | 'incarnation' | 'status' | 'createdAtMs'> & {
  readonly createdAtMs?: number | null
}

export type LocalRecord = {
  readonly format: 1
  /** os.hostname(): a data folder may be on a shared disk, and pids mean something here only. */
  readonly hostname: string
  readonly instance: LocalInstance
  readonly kind: 'tinyproxy' | 'built-in'
  /** Serves the upstream; for `built-in` the maker itself. */
  readonly server: ProcessMark
  /** While it runs, the upstream is nobody else's. */
  readonly maker: ProcessMark
}

export type LocalRecords = ReturnType<typeof openLocalRecords>

/** @param dataDir  made where it is missing, on the first write */
export function openLocalRecords({ dataDir, hostname }: { dataDir: string; hostname: string }) {
  const folder = join(dataDir, 'local')
  const pathOf = (id: string, extension: 'json' | 'conf' | 'log') => join(folder, `${id}.${extension}`)

  return {
    pathOf,

    /** The folder's own id, made with the first question: it stays the same wherever the folder is carried. */
    async folderId(): Promise<string> {
      const path = join(dataDir, 'folder-id')
      await mkdir(dataDir, { recursive: true })
      await writeFile(path, randomUUID(), { flag: 'wx' }).catch(unlessThere)
      return (await readFile(path, 'utf8')).trim()
    },

    /** Synchronous, so that nothing can happen between the start of a process and its record. Never half a file. */
    write(record: LocalRecord): void {
      const path = pathOf(record.instance.id, 'json')
      writeFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`)
      renameSync(`${path}.new`, path)
    },

    makeFolder(): void {
      mkdirSync(folder, { recursive: true })
    },

    async readAll(): Promise<LocalRecord[]> {
      const names = await readdir(folder).catch(noFolder)
      const paths = names.filter((name) => name.endsWith('.json')).map((name) => join(folder, name))
      return paths
        .map(read)
        .filter((record) => record !== null)
        .filter((record) => record?.hostname === hostname)
    },

    /** The record goes last: what has none is never looked for again. */
    async remove(id: string): Promise<void> {
      for (const extension of ['conf', 'log', 'json'] as const)
        await rm(pathOf(id, extension), { force: true })
    },
  }
}

/** A file that is gone meanwhile, or of another format, is no record of ours. */
function read(path: string): LocalRecord | null {
  try {
    const record = JSON.parse(readFileSync(path, 'utf8')) as LocalRecord
    return record.format === 1 ? record : null
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function unlessThere(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}

function noFolder(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return []
  throw error
}
