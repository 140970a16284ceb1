import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { endProcess, isRunning, markProcess, ownMark } from '../../src/provider/local-process.ts'

t.test('a process is known as long as it runs', async (t) => {
  const child = start(t, 'sleep 600')
  const mark = markProcess(child.pid!)
  t.ok(mark && isRunning(mark))
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.notOk(mark && isRunning(mark))
  t.equal(markProcess(child.pid!), null)
})

t.test('two processes started at different times have different marks', async (t) => {
  t.not(markProcess(start(t, 'sleep 600').pid!)?.startedAt, ownMark().startedAt)
})

t.test('the same pid with another start is another process, and is not ended', async (t) => {
  const child = start(t, 'sleep 600')
  const former = { pid: child.pid!, startedAt: 'before' }
  t.notOk(isRunning(former))
  await endProcess(former, 0)
  t.ok(markProcess(child.pid!))
})

t.test('a process that is dead but not yet waited for does not run', async (t) => {
  // The shell starts a child that ends, and becomes a program that never waits for it.
  const parent = start(t, 'true & echo $!; exec sleep 600')
  const [line] = await once(parent.stdout!, 'data')
  const pid = Number(String(line))
  await endProcess({ pid, startedAt: markProcess(pid)?.startedAt ?? '' }, 1000)
  t.equal(markProcess(pid), null)
})

t.test('SIGTERM is enough for most', async (t) => {
  const child = start(t, 'exec sleep 600')
  const exited = once(child, 'exit')
  await endProcess(markProcess(child.pid!)!, 60_000)
  t.strictSame(await exited, [null, 'SIGTERM'])
})

t.test('SIGKILL ends those that do not heed it', async (t) => {
  const child = start(t, "trap '' TERM; echo ready; while :; do sleep 600; done")
  await once(child.stdout!, 'data')
  const exited = once(child, 'exit')
  await endProcess(markProcess(child.pid!)!, 20)
  t.strictSame(await exited, [null, 'SIGKILL'])
})

t.test('who waits for an end may stop waiting', async (t) => {
  const child = start(t, "trap '' TERM; echo ready; while :; do sleep 600; done")
  await once(child.stdout!, 'data')
  const ending = endProcess(markProcess(child.pid!)!, 60_000, AbortSignal.timeout(20))
  await t.rejects(ending, { name: 'AbortError' })
})

/** In a process group of its own, so that nothing that the shell started stays behind. */
function start(t: Test, script: string): ChildProcess {
  const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'], detached: true })
  t.teardown(() => endGroup(child.pid!))
  return child
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
