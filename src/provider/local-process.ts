// One process of this machine, known by pid AND start: a pid alone is given to somebody else soon after.
// Reading is synchronous, so that nothing comes between starting a process and knowing it.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

export type ProcessMark = { readonly pid: number; readonly startedAt: string }

const pollMs = 10

/** @returns null where no such process runs; a zombie (dead, but not yet waited for) does not */
export function markProcess(pid: number): ProcessMark | null {
  const startedAt = process.platform === 'linux' ? startFromProc(pid) : startFromPs(pid)
  return startedAt === null ? null : { pid, startedAt }
}

export function ownMark(): ProcessMark {
  const mark = markProcess(process.pid)
  if (!mark) throw new Error(`this process (${process.pid}) cannot be found`)
  return mark
}

export function isRunning({ pid, startedAt }: ProcessMark): boolean {
  return markProcess(pid)?.startedAt === startedAt
}

/**
 * Ends exactly that process and resolves once it is gone: SIGTERM, after `graceMs` SIGKILL.
 * @throws the error of kill(2), such as EPERM; the signal's reason
 */
export async function endProcess(mark: ProcessMark, graceMs: number, signal?: AbortSignal): Promise<void> {
  const deadline = performance.now() + graceMs
  let killed = false
  if (isRunning(mark)) send(mark.pid, 'SIGTERM')
  while (isRunning(mark)) {
    if (!killed && performance.now() >= deadline) {
      send(mark.pid, 'SIGKILL')
      killed = true
    }
    await delay(pollMs, undefined, { signal })
  }
}

/** Boot, and ticks from there: proc_pid_stat(5), field 22. The name in field 2 may hold spaces and brackets. */
function startFromProc(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
    return state === 'Z' || state === 'X' ? null : `${boot}:${fields[18]}`
  } catch (error) {
    if (isGone(error)) return null
    throw error
  }
}

function startFromPs(pid: number): string | null {
  const { stdout, error } = spawnSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' })
  if (error) throw error
  const [state = '', ...start] = stdout.trim().split(/\s+/)
  return state === '' || state.startsWith('Z') ? null : start.join(' ')
}

function send(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (!isGone(error)) throw error
  }
}

function isGone(error: unknown): boolean {
  return ['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')
}
