// A real OpenID Connect provider on this machine (oidc-provider, certified by the OpenID Foundation), with people whom a
// chain may have: for the test of signing in there. Its login page is its own; any password is right.

import { createServer } from "node:http";
import { Provider } from "oidc-provider";

export const PEOPLE = {
  olga: { name: "Olga", groups: ["shop-ops", "everybody"] },
  sami: { name: "Sami", groups: ["shop-staff"] },
  eve: { name: "Eve", groups: ["everybody"] },
};

/** Starts it; returns its issuer and what ends it. */
export async function openProvider() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    // A native client may come back to any port of this machine (RFC 8252); it has no secret, PKCE protects it.
    clients: [{ client_id: "linefree", application_type: "native", token_endpoint_auth_method: "none", redirect_uris: ["http://127.0.0.1/api/oidc/back"], grant_types: ["authorization_code"], response_types: ["code"] }],
    claims: { openid: ["sub"], profile: ["preferred_username", "groups"] },
    // The console reads the ID token alone.
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true } },
    findAccount: (_, id) => PEOPLE[id] && { accountId: id, claims: () => ({ sub: id, preferred_username: PEOPLE[id].name, groups: PEOPLE[id].groups }) },
    cookies: { keys: ["only for this test run"] },
    jwks: undefined,
  });
  server.on("request", provider.callback());
  return { issuer, close: () => new Promise((done) => { server.closeAllConnections(); server.close(done); }) };
}

/** What the store's configuration needs to sign in there. */
export const oidcToml = (issuer) => `
[oidc]
issuer = "${issuer}"
client_id = "linefree"

[[oidc.role]]
group = "shop-ops"
is = "ops"

[[oidc.role]]
group = "shop-staff"
is = "staff"
`;
