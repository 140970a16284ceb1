// The startup script of machines on Compute Engine, with what it calls of the system (apt-get, systemctl, iptables)
// replaced by programs that take notes, and its Tinyproxy configuration in a real Tinyproxy.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { accepts } from '../fixtures/accepts.ts'
import { connectThrough } from '../fixtures/raw-client.ts'
import { freePort } from '../fixtures/tinyproxy.ts'
import { until } from '../fixtures/until.ts'

const script = join(import.meta.dirname, '..', '..', 'config', 'gce', 'startup.sh')

t.test('it sets a machine up once, and leaves it alone when it runs again', async (t) => {
  const machine = makeMachine(t)
  machine.boot()
  t.match(machine.notes(), [
    /^apt-get -q update$/,
    /^apt-get -q install -y .*tinyproxy iptables$/,
    'systemctl daemon-reload',
    'systemctl enable tinyproxy',
    'systemctl restart tinyproxy',
  ])
  const files = machine.files()
  machine.boot()
  t.match(machine.notes().slice(5), [
    'systemctl daemon-reload',
    'systemctl enable tinyproxy',
    'systemctl start tinyproxy',
  ])
  t.strictSame(machine.files(), files)
})

t.test('the metadata server is out of reach for Tinyproxy, by a rule that is there once', async (t) => {
  const machine = makeMachine(t)
  machine.boot()
  machine.boot()
  const [four, six, ...more] = machine.rules()
  t.match(
    four,
    /^iptables .*-d 169\.254\.169\.254 -p tcp ! --dport 53 -m owner --uid-owner tinyproxy -j REJECT$/,
  )
  if (existsSync('/proc/net/if_inet6')) t.match(six, /^ip6tables .*-d fd20:ce::254 /)
  t.strictSame(more, [])
  t.match(machine.files().unit, /ExecStartPre=\+\S+lanekeeper-guard\nLimitNOFILE=65536/)
})

t.test('packages that cannot be installed end it before anything is half done', async (t) => {
  const machine = makeMachine(t)
  machine.install('apt-get', 'exit 100')
  t.throws(() => machine.boot())
  t.notOk(existsSync(machine.paths.config))
})

t.test(
  'Tinyproxy takes the configuration: only private clients, only the ports for CONNECT, no Via',
  async (t) => {
    const machine = makeMachine(t)
    machine.boot()
    const { config } = machine.files()
    t.match(config, /^MaxClients 1000\nTimeout 600$/m)
    t.match(config, /^DisableViaHeader Yes$/m)
    const { statusFor } = await startTinyproxy(t, config)
    t.equal(await statusFor('192.0.2.1:443'), 403, 'loopback is no private range')
    const local = await startTinyproxy(t, `${config}Allow 127.0.0.1\n`)
    t.equal(await local.statusFor('127.0.0.1:8443'), 403, 'no port of ConnectPort')
    t.equal(await local.statusFor('127.0.0.1:80'), 500, 'nobody is there, but it was tried')
  },
)

function makeMachine(t: Test) {
  const root = t.testdir()
  const bin = join(root, 'bin')
  const paths = {
    config: join(root, 'etc/tinyproxy/tinyproxy.conf'),
    unit: join(root, 'etc/systemd/system/tinyproxy.service.d/lanekeeper.conf'),
    guard: join(root, 'usr/local/sbin/lanekeeper-guard'),
  }
  const notes = join(root, 'notes')
  const rules = join(root, 'rules')
  mkdirSync(bin)
  for (const file of [notes, rules]) writeFileSync(file, '')
  const note = `echo "$(basename "$0") $*" >>'${notes}'`
  const install = (program: string, body = note) => {
    writeFileSync(join(bin, program), `#!/bin/sh\n${body}\n`)
    chmodSync(join(bin, program), 0o755)
  }
  // What it installs is not there before.
  install('apt-get', `${note}; case "$*" in *install*) cp '${bin}/firewall' '${bin}/iptables' ;; esac`)
  install('systemctl')
  install('sleep', ':')
  // -C asks whether a rule is there, -I puts it there.
  const firewall = `rule="$(basename "$0") $(echo "$*" | sed 's/-w -[CI] //')"
case "$*" in *' -C '*|*'-C '*) grep -qxF -- "$rule" '${rules}' ;; *) echo "$rule" >>'${rules}' ;; esac`
  install('firewall', firewall)
  install('ip6tables', firewall)

  const lines = (file: string) => readFileSync(file, 'utf8').split('\n').filter(Boolean)
  return {
    paths,
    install,
    boot: () =>
      execFileSync('sh', [script], {
        env: { PATH: `${bin}:/usr/bin:/bin`, LANEKEEPER_ROOT: root },
        stdio: 'pipe',
      }),
    notes: () => lines(notes),
    rules: () => lines(rules),
    files: () => ({
      config: readFileSync(paths.config, 'utf8'),
      unit: readFileSync(paths.unit, 'utf8'),
      guard: readFileSync(paths.guard, 'utf8'),
    }),
  }
}

/** As it stands there, but for user, port and where it logs. */
async function startTinyproxy(t: Test, config: string) {
  const port = await freePort()
  const file = join(t.testdir({}), `${port}.conf`)
  const own = config
    .replaceAll(/^(User|Group|Syslog) .*\n/gm, '')
    .replace(/^Port .*/m, `Port ${port}\nListen 127.0.0.1`)
  writeFileSync(file, own)
  const child = spawn('tinyproxy', ['-d', '-c', file], { stdio: 'ignore' })
  t.teardown(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })
  await until('tinyproxy accepts', () => accepts(port))
  return {
    async statusFor(target: string) {
      const { status, socket } = await connectThrough({ gatewayHost: '127.0.0.1', gatewayPort: port, target })
      socket.destroy()
      return status
    },
  }
}
