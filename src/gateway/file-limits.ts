// Each connection and each tunnel is an open file. Without one left Node accepts and resets clients without a word and
// without an event (hostile inputs 0.10), so a gateway that could come there does not start.

import { readFileSync } from 'node:fs'
import { maxAsking } from './resolver.ts'

/** For what is neither a client nor an upstream: the store, the database (the embedded one has 115 open), the admin API. */
const otherFiles = 200

/**
 * Files that this process may have open. Node raises the soft limit to the hard one as it starts (tried 2026-11-21,
 * Node 24.21), so this is the most that there is to be had.
 * @returns null where it is not known, or not limited
 */
export function openFilesLimit(): number | null {
  return process.platform === 'linux' ? limitIn(readFileSync('/proc/self/limits', 'utf8')) : reportedLimit()
}

/** @param text  of /proc/<pid>/limits */
export function limitIn(text: string): number | null {
  const soft = /^Max open files\s+(\d+)/m.exec(text)?.[1]
  return soft === undefined ? null : Number(soft)
}

function reportedLimit(): number | null {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } }
  const soft = report.userLimits?.open_files?.soft
  return typeof soft === 'number' ? soft : null
}

/** @throws Error that says what to do, where the limit does not carry what is configured */
export function checkOpenFiles(
  limit: number | null,
  { maxConnections, maxTunnels }: { readonly maxConnections: number; readonly maxTunnels: number },
): void {
  // A look-up has a socket of its own; only a connection without a tunnel has one under way.
  const lookUps = Math.min(maxConnections, maxAsking)
  const needed = maxConnections + maxTunnels + lookUps + otherFiles
  if (limit === null || limit >= needed) return
  throw new Error(
    `this process may have ${limit} files open, and needs ${needed}: gateway.maxConnections (${maxConnections}) + ` +
      `gateway.maxTunnels (${maxTunnels}) + look-ups (${lookUps}) + ${otherFiles}. Allow it more (ulimit -n ${needed}; LimitNOFILE=${needed} for ` +
      `systemd; --ulimit nofile=${needed} for docker), or lower these two settings.`,
  )
}
