// Waiting for the report of one sync pass.

import type { Api } from './api.ts'
import { ApiError } from './failure.ts'
import type { SyncReport } from './shapes.ts'
import { waitFor, type Waiting } from './wait.ts'

/** The API keeps the newest report only: where so many others came and went, ours was among them unseen, or never. */
const mostOthers = 5

export type SyncEnd =
  | { readonly kind: 'reported'; readonly report: SyncReport }
  /** Others came after it before its own was seen. */
  | { readonly kind: 'missed' }

/** @returns null where the time was over first */
export async function waitForSync(
  api: Pick<Api, 'get'>,
  pass: string,
  waiting: Waiting,
): Promise<SyncEnd | null> {
  const others = new Set<string>()
  return waitFor<SyncEnd>(async () => {
    const report = await newest(api)
    if (report?.pass === pass) return { lines: [line('done')], result: { kind: 'reported', report } }
    if (report) others.add(report.pass)
    return { lines: [line('under way')], result: others.size > mostOthers ? { kind: 'missed' } : null }
  }, waiting)
}

/** Null before the first. */
async function newest(api: Pick<Api, 'get'>): Promise<SyncReport | null> {
  try {
    return await api.get<SyncReport>('/v1/sync', 'pass')
  } catch (error) {
    if (
      error instanceof ApiError &&
      error.failure.kind === 'refused' &&
      error.failure.problem.code === 'not_found'
    )
      return null
    throw error
  }
}

function line(text: string) {
  return { subject: 'sync', text, isOver: text === 'done' }
}
