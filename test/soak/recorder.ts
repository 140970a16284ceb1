// Everything of a run that the checker is to see, in files of one folder as it happens.

import { createWriteStream, mkdtempSync, type WriteStream } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AdminRecord, ClientRecord, Fault, ProviderCall, Seen } from '../checker/records.ts'

type Kinds = {
  readonly clients: ClientRecord
  readonly faults: Fault
  readonly admin: AdminRecord
  readonly calls: ProviderCall
  readonly seen: Seen
}

export type Recorder = ReturnType<typeof makeRecorder>

export function makeRecorder() {
  const folder = mkdtempSync(join(tmpdir(), 'lanekeeper-soak-'))
  const files = new Map<string, WriteStream>()
  const counts = new Map<string, number>()

  function fileOf(kind: string): string {
    return join(folder, `${kind}.jsonl`)
  }

  function streamOf(kind: string): WriteStream {
    let stream = files.get(kind)
    if (!stream) files.set(kind, (stream = createWriteStream(fileOf(kind))))
    return stream
  }

  // Each is there, also where nothing came of it.
  for (const kind of ['clients', 'faults', 'admin', 'calls', 'seen']) streamOf(kind)

  return {
    folder,
    fileOf,
    write<Kind extends keyof Kinds>(kind: Kind, record: Kinds[Kind]): void {
      streamOf(kind).write(`${JSON.stringify(record)}\n`)
      counts.set(kind, (counts.get(kind) ?? 0) + 1)
    },
    count: (kind: keyof Kinds): number => counts.get(kind) ?? 0,
    async close(): Promise<void> {
      await Promise.all([...files.values()].map((stream) => new Promise<void>((done) => stream.end(done))))
    },
  }
}
