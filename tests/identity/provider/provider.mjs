// An OpenID Connect provider for tests: signs everybody in at once, and can be told to send broken tokens.
// node provider.mjs <port> <redirect URI>; POST /control {"mode": …, "subject": …, "amr": […]} sets what happens next.
import { Buffer } from 'node:buffer'
import { SignJWT, UnsecuredJWT, decodeJwt, exportJWK, exportSPKI, generateKeyPair } from 'jose'
import Provider from 'oidc-provider'

const [port, redirect] = process.argv.slice(2)
const issuer = `http://127.0.0.1:${port}`
const client = { client_id: 'portal', client_secret: 'only-for-tests-and-long-enough-for-hs256' }
const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
const stranger = await generateKeyPair('RS256')
const key = { ...(await exportJWK(privateKey)), kid: 'first', alg: 'RS256', use: 'sig' }
const publicText = await exportSPKI(publicKey)
const initial = { mode: 'good', subject: 'person-1', amr: ['pwd', 'otp'], acr: undefined }
let now = { ...initial }

const provider = new Provider(issuer, {
  clients: [{ ...client, redirect_uris: [redirect], token_endpoint_auth_method: 'client_secret_post' }],
  jwks: { keys: [key] },
  cookies: { keys: ['only for tests'] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false } },
  claims: { openid: ['sub', 'amr', 'acr', 'auth_time'], profile: ['name', 'preferred_username'], email: ['email'] },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: `Name of ${id}`, email: 'shared@example.org' }),
  }),
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    })
    grant.addOIDCScope('openid profile email')
    await grant.save()
    return grant
  },
})

const sign = (claims, header = {}, with_ = privateKey) =>
  new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'first', ...header }).sign(with_)
const without = (claims, name) => Object.fromEntries(Object.entries(claims).filter(([it]) => it !== name))
const seconds = () => Math.floor(Date.now() / 1000)

// Each makes an ID token out of the claims of a good one.
const broken = {
  'wrong issuer': (it) => sign({ ...it, iss: 'https://elsewhere.example' }),
  'wrong audience': (it) => sign({ ...it, aud: 'another-client' }),
  'several audiences': (it) => sign({ ...it, aud: ['portal', 'another-client'] }),
  'another authorised party': (it) => sign({ ...it, azp: 'another-client' }),
  expired: (it) => sign({ ...it, exp: seconds() - 60 }),
  'without end': (it) => sign(without(it, 'exp')),
  'from the future': (it) => sign({ ...it, iat: seconds() + 600 }),
  'without nonce': (it) => sign(without(it, 'nonce')),
  'foreign nonce': (it) => sign({ ...it, nonce: 'of-another-sign-in' }),
  'without subject': (it) => sign(without(it, 'sub')),
  'subject without end': (it) => sign({ ...it, sub: 'x'.repeat(300) }),
  'without time of sign-in': (it) => sign(without(it, 'auth_time')),
  'sign-in long ago': (it) => sign({ ...it, auth_time: seconds() - 90000 }),
  'sign-in to come': (it) => sign({ ...it, auth_time: seconds() + 600 }),
  'time that is no number': (it) => sign({ ...it, auth_time: 'noon' }),
  'signed with the secret': (it) => sign(it, { alg: 'HS256' }, Buffer.from(client.client_secret)),
  'signed with the public key': (it) => sign(it, { alg: 'HS256' }, Buffer.from(publicText)),
  unsigned: (it) => new UnsecuredJWT(it).encode(),
  'signed by a stranger': (it) => sign(it, {}, stranger.privateKey),
  'unknown key': (it) => sign(it, { kid: 'second' }),
  'without key': (it) => sign(it, { kid: undefined }),
  'no token at all': () => 'garbage',
}

async function control(ctx) {
  let body = ''
  for await (const part of ctx.req) body += part
  now = { ...initial, ...JSON.parse(body) }
  ctx.body = Object.keys(broken)
}

async function interact(ctx) {
  const login = { accountId: now.subject, amr: now.amr, acr: now.acr }
  const result = now.mode === 'refuses' ? { error: 'access_denied' } : { login }
  ctx.respond = false
  await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false })
}

async function meddle(ctx) {
  if (ctx.path === '/token' && ctx.body?.id_token) {
    if (now.mode in broken) ctx.body.id_token = await broken[now.mode](decodeJwt(ctx.body.id_token))
    if (now.mode === 'answer without token') delete ctx.body.id_token
    if (now.mode === 'answer that is a list') ctx.body = []
    if (now.mode === 'answer that is no JSON') ctx.body = 'hello'
    if (now.mode === 'token endpoint fails') ctx.status = 500
  }
  if (ctx.path === '/jwks' && now.mode === 'keys fail') ctx.status = 500
  if (ctx.path === '/jwks' && now.mode === 'keys of another shape') ctx.body = { keys: [{}] }
  if (ctx.path === '/me' && now.mode === 'details of somebody else') ctx.body.sub = 'person-2'
  if (ctx.path === '/me' && now.mode === 'details fail') ctx.status = 500
  if (ctx.path === '/me' && now.mode === 'strange name') ctx.body.name = 'Na\u0000me'
}

provider.use(async (ctx, next) => {
  if (ctx.path === '/control') return control(ctx)
  if (ctx.path.startsWith('/interaction/')) return interact(ctx)
  await next()
  return meddle(ctx)
})
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'))
