import t from 'tap'
import { GatewayError } from '../../../src/errors.ts'
import { codeOf, hideSecrets, storeUnavailable } from '../../../src/store/redis/failure.ts'

function reply(message: string): Error {
  return Object.assign(new Error(message), {
    name: 'ReplyError',
    command: { name: 'auth', args: ['secret'] },
  })
}

const cases = [
  { name: 'a replica', text: "READONLY You can't write against a read only replica.", code: 'READONLY' },
  {
    name: 'a replica, met in a script',
    text: "READONLY You can't write script: 9f, on @user_script:1.",
    code: 'READONLY',
  },
  {
    name: 'a replica, as Redis 6.2 says it',
    text: 'ERR Error running script (call to f_9f): @user_script:7: @user_script: 7: -READONLY You can not write.',
    code: 'READONLY',
  },
  { name: 'a start', text: 'LOADING Redis is loading the dataset in memory', code: 'LOADING' },
  { name: 'no memory', text: "OOM command not allowed when used memory > 'maxmemory'.", code: 'OOM' },
  { name: 'no disk', text: 'MISCONF Redis is configured to save RDB snapshots, but ...', code: 'MISCONF' },
  { name: 'a long script', text: 'BUSY Redis is busy running a script.', code: 'BUSY' },
  { name: 'a cluster without majority', text: 'CLUSTERDOWN The cluster is down', code: 'CLUSTERDOWN' },
  { name: 'too few replicas', text: 'NOREPLICAS Not enough good replicas to write.', code: 'NOREPLICAS' },
  { name: 'a lost primary', text: 'MASTERDOWN Link with MASTER is down', code: 'MASTERDOWN' },
  { name: 'a moved slot', text: 'MOVED 3999 127.0.0.1:6381', code: 'MOVED' },
  {
    name: 'a record from the future',
    text: 'ERR FORMAT pin record 9 script: 9f, on @user_script:1.',
    code: 'FORMAT',
  },
  { name: 'an error that nobody foresaw', text: 'ERR value is not an integer', code: 'ERR' },
]

for (const { name, text, code } of cases) {
  t.test(`${name}: store_unavailable, with the reason`, async (t) => {
    t.equal(codeOf(reply(text)), code)
    const error = storeUnavailable(reply(text), (shown) => shown)
    t.match(error, { code: 'store_unavailable', status: 503, cause: { message: text } })
    t.match(error.fields.detail, /^Redis cannot be used now: .+\.$/)
  })
}

t.test('what has no code of its own is silence', async (t) => {
  for (const error of [new Error('Command timed out'), 'text', null]) {
    t.match(storeUnavailable(error, (shown) => shown).fields.detail, 'does not answer in time')
  }
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' })
  t.match(storeUnavailable(refused, (shown) => shown).fields.detail, 'nothing listens there')
})

t.test('an error of ours passes as it is', async (t) => {
  const ours = new GatewayError('store_unavailable', { detail: 'known' })
  t.equal(
    storeUnavailable(ours, (shown) => shown),
    ours,
  )
})

t.test('the arguments of the command stay behind, and a password that Redis repeats is hidden', async (t) => {
  const hide = hideSecrets({ url: 'redis+sentinel://user:p%40ss@a,b/main', sentinelPassword: 'gate' })
  const error = storeUnavailable(
    reply("ERR unknown command 'AUTH', with args beginning with: 'p@ss' p%40ss gate"),
    hide,
  )
  t.notMatch(
    JSON.stringify([error, error.message, error.stack, error.cause, String(error.cause)]),
    /p@ss|p%40ss|gate|secret/,
  )
  const plain = hideSecrets({ url: 'redis://127.0.0.1:6379' })
  t.equal(plain('no password, no change'), 'no password, no change')
})
