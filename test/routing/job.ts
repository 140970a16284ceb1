import fc from 'fast-check'
import t from 'tap'
import { isGatewayError } from '../../src/errors.ts'
import { readIdentity } from '../../src/routing/job.ts'
import { mintJobToken } from '../../src/routing/job-token.ts'
import { isJobId, isLaneWord } from '../../src/routing/job-words.ts'
import type { Job } from '../../src/types.ts'

type Headers = readonly string[]

const basic = (userinfo: string) => `Basic ${Buffer.from(userinfo).toString('base64')}`
const proxy = (userinfo: string) => ['Proxy-Authorization', basic(userinfo)]
const withId = (id: string) => ['X-Job-Id', id]
const withType = (type: string) => ['X-Job-Type', type]
const withInstitution = (institution: string) => ['X-Job-Institution', institution]

const readJob = (...args: Parameters<typeof readIdentity>) => readIdentity(...args).job

const open = { tokens: [], tokenRequired: false }
const tokens = [
  { name: 'old', token: 'old-token' },
  { name: 'new', token: 'new-token' },
]
const locked = { tokens, tokenRequired: true }
const own = { ...open, allowAuthorization: true }
const nowMs = Date.UTC(2026, 0, 1)
const key = { id: 'k1', secret: 'a secret of thirty-two characters' }
const signed = { tokens, jobTokens: { keys: [key], nowMs }, tokenRequired: true }

const job = (id: string, type: string | null = null, institution: string | null = null): Job => ({
  id,
  type,
  institution,
})

const refusals = {
  400: { code: 'bad_request', status: 400, token: 'http_request_error' },
  403: { code: 'job_denied', status: 403, token: 'http_request_denied' },
  407: { code: 'proxy_auth_required', status: 407, token: 'http_request_denied' },
}

t.test('jobs that are recognised', async (t) => {
  const all = job('42', 'payment', 'bank-a')
  const rows: [name: string, headers: Headers, job: Job][] = [
    ['X-Job-Id alone', withId('42'), job('42')],
    ['all three headers', [...withId('42'), ...withType('payment'), ...withInstitution('bank-a')], all],
    ['headers in any case', ['x-job-id', '42', 'X-JOB-TYPE', 'payment'], job('42', 'payment')],
    ['the job id as the last of many headers', [...Array(198).fill('X-Other'), ...withId('42')], job('42')],
    ['a job id alone as the proxy user', proxy('42:x'), job('42')],
    ['no password', proxy('42:'), job('42')],
    ['the words of the proxy user', proxy('job=42,type=payment,institution=bank-a:x'), all],
    ['the words in another order', proxy('institution=bank-a,job=42,type=payment:x'), all],
    ['the job word alone', proxy('job=42:x'), job('42')],
    ['the proxy user as axios sends it', proxy('job%3D42%2Ctype%3Dpayment:x'), job('42', 'payment')],
    ['a job id with a colon, escaped', proxy('a%3Ab:x'), job('a:b')],
    ['the same job by both', [...withId('42'), ...proxy('42:x')], job('42')],
    ['the type by header, the id by user', [...withType('payment'), ...proxy('42:x')], job('42', 'payment')],
    [
      'what one leaves out, the other says',
      [...withId('42'), ...withType('payment'), ...proxy('job=42,institution=bank-a:x')],
      all,
    ],
    [
      'all by both',
      [
        ...withId('42'),
        ...withType('payment'),
        ...withInstitution('bank-a'),
        ...proxy('job=42,type=payment,institution=bank-a:x'),
      ],
      all,
    ],
    ['a header id beside an empty proxy user', [...withId('42'), ...proxy(':x')], job('42')],
    ['Authorization is the target\u2019s', [...withId('42'), 'Authorization', basic('43:x')], job('42')],
    ['underscores make another header', [...withId('42'), 'x_job_id', '43'], job('42')],
    ['a header named like a part of every object', ['__proto__', '41', ...withId('42')], job('42')],
    ['a job id named like one', withId('constructor'), job('constructor')],
    ['the longest job id', withId('a'.repeat(128)), job('a'.repeat(128))],
    [
      'the longest type and institution',
      proxy(`job=42,type=${'t'.repeat(64)},institution=${'i'.repeat(64)}:x`),
      job('42', 't'.repeat(64), 'i'.repeat(64)),
    ],
  ]
  for (const [name, headers, expected] of rows) t.same(readJob(headers, open), expected, name)
})

t.test('identities that are refused', async (t) => {
  const rows: [name: string, headers: Headers, status: 400 | 407][] = [
    ['none', [], 407],
    ['a type without a job', withType('payment'), 407],
    ['an empty proxy user', proxy(':x'), 407],
    ['only Authorization, on the way to a target', ['Authorization', basic('42:x')], 407],
    ['another scheme', ['Proxy-Authorization', 'Bearer 42'], 407],
    ['another scheme beside a header', [...withId('42'), 'Proxy-Authorization', 'Bearer 42'], 407],
    ['only underscores', ['x_job_id', '42'], 407],
    ['two job ids', [...withId('42'), ...withId('43')], 400],
    ['the same job id twice', [...withId('42'), 'x-job-id', '42'], 400],
    ['two types', [...withId('42'), ...withType('a'), ...withType('a')], 400],
    ['two institutions', [...withId('42'), ...withInstitution('a'), ...withInstitution('a')], 400],
    ['two proxy credentials', [...proxy('42:x'), ...proxy('42:x')], 400],
    ['two proxy credentials, the first empty', ['Proxy-Authorization', '', ...proxy('42:x')], 400],
    ['credentials that are not base64', ['Proxy-Authorization', 'Basic 42:x'], 400],
    ['other jobs', [...withId('42'), ...proxy('43:x')], 400],
    ['jobs that differ in case', [...withId('a'), ...proxy('A:x')], 400],
    ['other types', [...withId('42'), ...withType('a'), ...proxy('job=42,type=b:x')], 400],
    ['other institutions', [...withInstitution('a'), ...proxy('job=42,institution=b:x')], 400],
    ['an empty job id', withId(''), 400],
    ['two ids in one header', withId('a, b'), 400],
    ['a space', withId('a b'), 400],
    ['a tab', withId('a\tb'), 400],
    ['UTF-8, as node gives it', withId('\u00c3\u00bc'), 400],
    ['a line end', withId('a\r\nDEL x'), 400],
    ['one line end behind', withId('a\n'), 400],
    ['129 characters', withId('a'.repeat(129)), 400],
    ['a star', withId('*'), 400],
    ['braces', withId('{a}'), 400],
    ['a path', withId('../..'), 400],
    ['__proto__', withId('__proto__'), 400],
    ['a percent sign in a header', withId('a%42'), 400],
    ['a slash behind an escape', proxy('a%2Fb:x'), 400],
    ['an escape behind an escape', proxy('a%2542:x'), 400],
    ['an escaped line end', proxy('a%0d%0ab:x'), 400],
    ['an empty type', [...withId('42'), ...withType('')], 400],
    ['a type with a colon', [...withId('42'), ...withType('a:b')], 400],
    ['a star as the type', [...withId('42'), ...withType('*')], 400],
    ['an institution of 65 characters', [...withId('42'), ...withInstitution('a'.repeat(65))], 400],
    ['words without a job', proxy('type=payment:x'), 400],
    ['a word without a value', proxy('job=:x'), 400],
    ['an empty type among the words', proxy('job=42,type=:x'), 400],
    ['an unknown word', proxy('job=42,pool=a:x'), 400],
    ['a word in upper case', proxy('Job=42:x'), 400],
    ['a word named like a part of every object', proxy('job=42,__proto__=a:x'), 400],
    ['constructor as a word', proxy('job=42,constructor=a:x'), 400],
    ['the same word twice', proxy('job=42,job=42:x'), 400],
    ['the same type twice', proxy('job=42,type=a,type=a:x'), 400],
    ['a word that is none', proxy('42,type=a:x'), 400],
    ['a comma at the end', proxy('job=42,:x'), 400],
    ['a comma in front', proxy(',job=42:x'), 400],
    ['spaces between words', proxy('job=42, type=a:x'), 400],
    ['two equals signs', proxy('job==42:x'), 400],
    ['a list of ids', proxy('42,43:x'), 400],
  ]
  for (const [name, headers, status] of rows) {
    t.throws(() => readJob(headers, open), refusals[status], name)
  }
})

t.test('tokens', async (t) => {
  const rows: [name: string, headers: Headers, result: Job | 400 | 407][] = [
    ['one of them', proxy('42:old-token'), job('42')],
    ['the other one', proxy('42:new-token'), job('42')],
    [
      'the job by header, the token beside an empty user',
      [...withId('42'), ...proxy(':new-token')],
      job('42'),
    ],
    ['the job by both', [...withId('42'), ...proxy('42:new-token')], job('42')],
    ['none', withId('42'), 407],
    ['an empty one', proxy('42:'), 407],
    ['a wrong one', proxy('42:wrong'), 407],
    ['one that is the beginning', proxy('42:new'), 407],
    ['one that goes on', proxy('42:new-token2'), 407],
    ['one in another case', proxy('42:New-Token'), 407],
    ['one with an escape', proxy('42:new%2Dtoken'), 407],
    ['the job by header, a wrong token', [...withId('42'), ...proxy(':wrong')], 407],
    ['a right token and no job', proxy(':new-token'), 407],
    ['a right token and another job', [...withId('42'), ...proxy('43:new-token')], 400],
    ['a wrong token is answered before a bad user', proxy('a b:wrong'), 407],
    ['a right token and a bad user', proxy('a b:new-token'), 400],
  ]
  for (const [name, headers, result] of rows) {
    if (typeof result === 'object') t.same(readJob(headers, locked), result, name)
    else t.throws(() => readJob(headers, locked), refusals[result], name)
  }
  t.throws(
    () => readJob(proxy('42:'), { tokens: [], tokenRequired: true }),
    refusals[407],
    'no tokens at all',
  )
  t.equal(readIdentity(proxy('42:new-token'), locked).token, 'new', 'its name is told')
  t.equal(
    readIdentity(proxy('42:new-token'), open).token,
    null,
    'where none is asked for it is not looked at',
  )
  const utf8 = { tokens: [{ name: 'utf8', token: 's\u00e9same' }], tokenRequired: true }
  t.same(readJob(proxy('42:s\u00e9same'), utf8), job('42'), 'a token beyond ASCII, sent in UTF-8')
})

t.test('a job token is good for its job, whatever else is said', async (t) => {
  const tokenOf = (job: Job, expiresAtMs = nowMs + 60_000) => mintJobToken({ job, expiresAtMs }, key)
  const plain = tokenOf(job('42'))
  const whole = tokenOf(job('42', 'payment', 'bank-a'))
  const all = job('42', 'payment', 'bank-a')
  const rows: [name: string, headers: Headers, result: Job | 400 | 403 | 407][] = [
    ['beside an empty user', proxy(`:${plain}`), job('42')],
    ['beside its job', proxy(`42:${plain}`), job('42')],
    ['all by the token', proxy(`:${whole}`), all],
    ['a part said again', proxy(`42:${whole}`), all],
    ['all said again', proxy(`job=42,institution=bank-a,type=payment:${whole}`), all],
    ['all said again by headers', [...withId('42'), ...withType('payment'), ...proxy(`:${whole}`)], all],
    ['a job id that Basic cannot carry', proxy(`:${tokenOf(job('a:b'))}`), job('a:b')],
    ['a static token is good for any job still', proxy('43:new-token'), job('43')],
    ['another job as the user', proxy(`43:${plain}`), 403],
    ['another job by header', [...withId('43'), ...proxy(`:${plain}`)], 403],
    ['its job as the user, another by header', [...withId('43'), ...proxy(`42:${plain}`)], 403],
    ['its job by header, another as the user', [...withId('42'), ...proxy(`43:${plain}`)], 403],
    ['a job in another case', proxy(`A:${tokenOf(job('a'))}`), 403],
    ['another type', [...withType('statement'), ...proxy(`:${whole}`)], 403],
    ['another institution', proxy(`job=42,institution=bank-b:${whole}`), 403],
    ['a type that the token lacks', [...withType('payment'), ...proxy(`:${plain}`)], 403],
    ['an institution that the token lacks', proxy(`job=42,institution=bank-a:${plain}`), 403],
    ['a bad user beside it', proxy(`a b:${plain}`), 400],
    ['a bad header beside it', [...withId('a b'), ...proxy(`:${plain}`)], 400],
    ['an expired one', proxy(`42:${tokenOf(job('42'), nowMs)}`), 407],
    ['an expired one is answered before another job', proxy(`43:${tokenOf(job('42'), nowMs)}`), 407],
    ['one that goes on', proxy(`42:${plain}A`), 407],
    ['as the user', proxy(`${plain}:x`), 407],
    ['in a header only', [...withId('42'), 'Authorization', basic(`:${plain}`)], 407],
  ]
  for (const [name, headers, result] of rows) {
    if (typeof result === 'object') t.same(readJob(headers, signed), result, name)
    else t.throws(() => readJob(headers, signed), refusals[result], name)
  }
  t.strictSame(readIdentity(proxy(`:${plain}`), signed), { job: job('42'), token: null, tokenKey: 'k1' })
  t.throws(() => readJob(proxy(`42:${plain}`), locked), refusals[407], 'where there is no key it is none')
  t.same(
    readJob(proxy(`43:${plain}`), open),
    job('43'),
    'where no token is asked for the password is not looked at',
  )
  const standingIn = { ...signed, allowAuthorization: true }
  t.same(
    readJob(['Authorization', basic(`:${whole}`)], standingIn),
    all,
    'in Authorization on our own requests',
  )
  t.throws(() => readJob([...withId('43'), 'Authorization', basic(`:${plain}`)], standingIn), refusals[403])
})

t.test('a denial names what was said and what the token is good for, never the token', async (t) => {
  const token = mintJobToken({ job: job('42', 'payment'), expiresAtMs: nowMs + 1000 }, key)
  const rows: [headers: Headers, detail: RegExp][] = [
    [proxy(`43:${token}`), /^The proxy user says job "43", and the token is good for job "42" only\. /],
    [[...withId('43'), ...proxy(`42:${token}`)], /^X-Job-Id says job "43", .* for job "42" only\. /],
    [proxy(`job=42,type=b:${token}`), /user says type "b", .* for job "42" with type "payment"\. /],
    [
      [...withInstitution('bci'), ...proxy(`:${token}`)],
      /^X-Job-Institution says institution "bci", .* for job "42" with no institution\. /,
    ],
  ]
  for (const [headers, detail] of rows) {
    const error = t.throws(() => readJob(headers, signed)) as { fields?: { detail: string } }
    t.match(error.fields?.detail, detail)
    t.notMatch(error.fields?.detail, /lk1/)
  }
})

t.test('on the gateway\u2019s own requests Authorization may stand in', async (t) => {
  const ours = (userinfo: string) => ['Authorization', basic(userinfo)]
  const rows: [name: string, headers: Headers, result: Job | 400 | 407][] = [
    ['alone', ours('job=42,type=a:x'), job('42', 'a')],
    ['the same in both', [...ours('42:x'), ...proxy('42:x')], job('42')],
    ['beside X-Job-Id', [...ours('42:x'), ...withId('42')], job('42')],
    ['another job in both', [...ours('42:x'), ...proxy('43:x')], 400],
    ['another password in both', [...ours('42:x'), ...proxy('42:y')], 400],
    ['twice', [...ours('42:x'), ...ours('42:x')], 400],
    ['another job by header', [...ours('42:x'), ...withId('43')], 400],
    ['another scheme', ['Authorization', 'Bearer 42'], 407],
    ['proxy credentials alone still count', proxy('42:x'), job('42')],
  ]
  for (const [name, headers, result] of rows) {
    if (typeof result === 'object') t.same(readJob(headers, own), result, name)
    else t.throws(() => readJob(headers, own), refusals[result], name)
  }
  t.same(readJob(ours('42:new-token'), { ...locked, allowAuthorization: true }), job('42'), 'with its token')
  const twice = [...proxy('42:x'), ...ours('43:x'), ...ours('44:x')]
  t.same(readJob(twice, open), job('42'), 'elsewhere it is none of our business, twice or not')
})

t.test('errors say what was found, and keep the password to themselves', async (t) => {
  const rows: [name: string, headers: Headers, detail: RegExp][] = [
    ['a bad id', withId('a b'), /"a b" in X-Job-Id is no job id/],
    ['ids that differ', [...withId('42'), ...proxy('43:hush')], /X-Job-Id says "42".*"43"/],
    ['types that differ', [...withType('a'), ...proxy('job=1,type=b:hush')], /X-Job-Type says "a".*"b"/],
    ['an unknown word', proxy('job=42,pool=a:hush'), /"pool=a"/],
    ['a header twice', [...withId('42'), ...withId('42')], /X-Job-Id was sent more than once/],
    ['nothing at all', [], /X-Job-Id/],
    ['a long id', withId(`${'a'.repeat(5000)}`), /^.{0,300}$/],
    ['a line end', withId('a\r\nb'), /^[\x20-\x7e]*$/],
  ]
  for (const [name, headers, detail] of rows) {
    const error = t.throws(() => readJob(headers, open)) as { fields?: { detail: string } }
    t.match(error.fields?.detail, detail, name)
    t.notMatch(error.fields?.detail, 'hush', name)
  }
  const wrong = t.throws(() => readJob(proxy('42:hush'), locked)) as Error
  t.notMatch(wrong.message, /hush|new-token/)
})

t.test('any headers give a job of good grammar, or one of three errors', async () => {
  const value = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.stringMatching(/^[a-z0-9=,:%*]{0,20}$/),
    fc
      .stringMatching(/^(job|type|institution)=[a-z%0-9]{0,4}(,(job|type|institution)=[a-z]{1,3}){0,2}:x$/)
      .map(basic),
    fc.string().map(basic),
    // Any bytes behind what begins like credentials, and like a job token.
    fc
      .tuple(fc.constantFrom('', '42:', ':', ':lk1.', '42:lk1.k1.'), fc.uint8Array())
      .map(([start, bytes]) => {
        return `Basic ${Buffer.concat([Buffer.from(start), bytes]).toString('base64')}`
      }),
    fc.constant(basic(`:${mintJobToken({ job: job('a'), expiresAtMs: nowMs + 1 }, key)}`)),
  )
  const name = fc.constantFrom(
    'X-Job-Id',
    'x-job-type',
    'X-Job-Institution',
    'Proxy-Authorization',
    'Authorization',
  )
  const headers = fc.array(fc.tuple(name, value), { maxLength: 4 }).map((pairs) => pairs.flat())
  fc.assert(
    fc.property(headers, fc.constantFrom(open, locked, own, signed), (headers, options) => {
      try {
        const { id, type, institution } = readJob(headers, options)
        return isJobId(id) && [type, institution].every((word) => word === null || isLaneWord(word))
      } catch (error) {
        return isGatewayError(error, 'bad_request', 'proxy_auth_required', 'job_denied')
      }
    }),
    { numRuns: 5000 },
  )
})

t.test('every good identity comes through the proxy user whole, in any order of its words', async () => {
  const id = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._~@+-]{0,20}$/)
  const word = fc.option(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._~@+-]{0,20}$/))
  fc.assert(
    fc.property(id, word, word, fc.boolean(), fc.boolean(), (id, type, institution, turned, escaped) => {
      const words = [`job=${id}`, type && `type=${type}`, institution && `institution=${institution}`].filter(
        Boolean,
      )
      const user = (turned ? words.reverse() : words).join(',')
      const read = readJob(proxy(`${escaped ? encodeURIComponent(user) : user}:x`), open)
      return read.id === id && read.type === type && read.institution === institution
    }),
  )
})
