// Goes through every grant by openid-client, which is certified by the OpenID Foundation, and prints what came of it as
// one JSON object. The environment has the URL of the server. What a person does in a browser is done by hand: forms
// are sent, and cookies kept.
import * as client from 'openid-client'

const issuer = new URL(process.env.REEVE_URL)
const insecure = { execute: [client.allowInsecureRequests] } // the server of the test is on this machine
const redirectURI = 'https://dashboard.example.com/back'
const scope = 'openid profile email offline_access urn:mas:admin'

// visit answers where the browser is sent to outside of the server, or the page that it shows.
const cookies = new Map()
const visit = async (url, form) => {
  const method = form ? 'POST' : 'GET'
  const answer = await fetch(url, {
    method, redirect: 'manual', body: form && new URLSearchParams(form),
    headers: { cookie: [...cookies].map(pair => pair.join('=')).join('; '), ...(form && { origin: issuer.origin, 'sec-fetch-site': 'same-origin' }) }
  })
  for (const cookie of answer.headers.getSetCookie()) {
    const [, name, value] = /^([^=]*)=([^;]*)/.exec(cookie)
    value ? cookies.set(name, value) : cookies.delete(name)
  }
  if (answer.status === 303) {
    const next = new URL(answer.headers.get('location'), url)
    return next.origin === issuer.origin ? visit(next) : next
  }
  return answer.text()
}

const signIn = { do: 'sign-in', username: 'kilgore-trout', password: 'so-it-goes-1969' }
const allow = async url => {
  let page = await visit(url)
  if (page.includes('name="password"')) page = await visit(url, signIn)
  if (page instanceof URL) return page // it has been allowed before
  return visit(url, { do: 'allow', token: /name="token" value="([^"]*)"/.exec(page)[1] })
}

const done = {}

// A client that registers itself, and gets what it needs to know from the server's metadata.
const config = await client.dynamicClientRegistration(issuer, {
  client_name: 'Dashboard', redirect_uris: [redirectURI], token_endpoint_auth_method: 'client_secret_post',
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code']
}, client.ClientSecretPost(), insecure)
done.pkce = config.serverMetadata().supportsPKCE()

const verifier = client.randomPKCECodeVerifier()
const checks = { pkceCodeVerifier: verifier, expectedState: client.randomState(), expectedNonce: client.randomNonce(), maxAge: 3600, idTokenExpected: true }
const url = client.buildAuthorizationUrl(config, {
  redirect_uri: redirectURI, scope, state: checks.expectedState, nonce: checks.expectedNonce, max_age: '3600',
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256'
})
const back = await allow(url)
const tokens = await client.authorizationCodeGrant(config, back, checks)
const { sub } = tokens.claims()
done.name = (await client.fetchUserInfo(config, tokens.access_token, sub)).preferred_username
done.scope = tokens.scope

// The issuer of another server in the answer is noticed (RFC 9207), and a code is good for one time.
const elsewhere = new URL(back)
elsewhere.searchParams.set('iss', 'https://elsewhere.example.com')
done.mixedUp = await client.authorizationCodeGrant(config, elsewhere, checks).then(() => 'taken', failure => failure.code)

const list = async token => (await client.fetchProtectedResource(config, token, new URL('/api/admin/v1/users', issuer), 'GET')).status
done.listed = await list(tokens.access_token)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
done.refreshed = await list(refreshed.access_token)
done.introspected = (await client.tokenIntrospection(config, refreshed.refresh_token)).active
await client.tokenRevocation(config, refreshed.refresh_token)
done.revoked = (await client.tokenIntrospection(config, refreshed.access_token)).active

const device = await client.initiateDeviceAuthorization(config, { scope })
await allow(new URL(device.verification_uri_complete))
done.device = await list((await client.pollDeviceAuthorizationGrant(config, { ...device, interval: 1 })).access_token)

// A client of the configuration, by discovery.
const scripts = await client.discovery(issuer, '01J44QC8BCY7FCFM7WGHQGKMTJ', undefined, client.ClientSecretBasic('eequie6Oth4Ip2InahT5zuQu8OuPohLi'), insecure)
done.clientCredentials = await list((await client.clientCredentialsGrant(scripts, { scope: 'urn:mas:admin' })).access_token)

console.log(JSON.stringify(done))
