// Every process that a test starts inherits a mark in its environment; who still carries it afterwards was
// left behind. Linux only: elsewhere other people's environments cannot be read.

import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

export const markVariable = 'LANEKEEPER_TEST_RUN'
/** A process that was told to end may need a moment, and then was not forgotten. */
const graceMs = 2000
const pollMs = 50

type Leftover = { readonly pid: number; readonly command: string }

export function newMark(): string {
  return randomUUID()
}

/** Kills what is left. @returns pid and command line of each */
export async function endLeftovers(mark: string): Promise<string[]> {
  const deadline = performance.now() + graceMs
  while (find(mark).length > 0 && performance.now() < deadline) await delay(pollMs)
  const left = find(mark)
  for (const { pid } of left) kill(pid)
  return left.map(({ pid, command }) => `${pid} ${command}`)
}

function find(mark: string): Leftover[] {
  if (!existsSync('/proc/self/environ')) return []
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids
    .filter((pid) => readFields(pid, 'environ').includes(`${markVariable}=${mark}`))
    .map((pid) => ({ pid: Number(pid), command: readFields(pid, 'cmdline').join(' ').trim() }))
}

/** Empty where it has ended meanwhile (a zombie's is empty too) or belongs to somebody else. */
function readFields(pid: string, name: 'environ' | 'cmdline'): string[] {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8').split('\0')
  } catch {
    return []
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
