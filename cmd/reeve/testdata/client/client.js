// Does what an administrator's script does, through kitsu, and prints what came of it as one JSON object. The
// environment has the URL of the API and the value of the header Authorization.
import Kitsu from 'kitsu'

const api = new Kitsu({
  baseURL: process.env.REEVE_URL,
  headers: { Authorization: process.env.REEVE_AUTHORIZATION },
  camelCaseTypes: false,
  resourceCase: 'none',
  pluralize: false
})

// Paths are plural and types singular, so writes name both.
const write = (method, type, url, body, headers) => api.request({ method, type, url, body, headers })

const refused = async request => {
  try {
    await request
    return []
  } catch (failure) {
    if (!failure.errors) throw failure
    return failure.errors.map(({ status, code, source }) => ({ status, code, source }))
  }
}

const done = {}

// A list: filtered, sorted, sparse, page by page.
done.active = []
for (let page = { size: 7 }; page;) {
  const list = await api.get('users', { params: { filter: { status: 'active' }, sort: '-username', fields: { user: 'username' }, page } })
  done.active.push(...list.data.map(user => user.username))
  done.total = list.meta.page.total
  page = list.links.next && { size: 7, after: list.data.at(-1).meta.page.cursor }
}

// What is included stands in the place of its identifier.
const groups = await api.get('groups', { params: { include: 'members', sort: 'name' } })
done.groups = groups.data.map(group => [group.key, group.members.data.map(member => member.username)])

// A user is created, twice with the same key; a bad one is not.
const kitsu = { username: 'kitsu', email: 'kitsu@example.com' }
const once = { 'Idempotency-Key': 'kitsu-1' }
const { data: user, status } = await write('POST', 'user', 'users', kitsu, once)
done.created = { ...user, status, again: (await write('POST', 'user', 'users', kitsu, once)).data.id === user.id }
done.refused = await refused(write('POST', 'user', 'users', { username: 'kitsu', shoe_size: 44 }))

// Of two changes of the same version, the first wins.
const { headers: { etag } } = await api.get(`users/${user.id}`)
const change = display_name => write('PATCH', 'user', `users/${user.id}`, { id: user.id, display_name }, { 'If-Match': etag })
done.changed = (await change('Kitsu')).data.display_name
done.stale = await refused(change('Inari'))

// A group gets members at its creation, and one more and one less later.
const { data: [other] } = await api.get('users', { params: { filter: { username: 'quentin' } } })
const { data: group } = await write('POST', 'group', 'groups', { name: 'Foxes', members: { data: [{ type: 'user', id: other.id }] } })
const members = `groups/${group.id}/relationships/members`
done.added = (await write('POST', 'user', members, [{ id: user.id }])).status
done.linked = (await api.get(members)).data.map(({ type, id }) => [type, id])
done.removed = (await api.request({ method: 'DELETE', url: members, axiosOptions: { data: { data: [{ type: 'user', id: other.id }] } } })).status

// What is related, to one and to many.
done.members = (await api.get(`groups/${group.id}/members`)).data.map(member => member.username)
done.groupsOfUser = (await api.get(`users/${user.id}/groups`)).data.map(({ name }) => name)
const { data: [session] } = await api.get('sessions', { params: { page: { first: 1 } } })
done.session = [session.id, (await api.get(`sessions/${session.id}/user`)).data.username]

// An action, and the end.
done.locked = (await write('POST', 'user', `users/${user.id}/lock`, { id: user.id })).data.locked_at
done.deleted = (await api.request({ method: 'DELETE', url: `users/${user.id}` })).status
done.gone = await refused(api.get(`users/${user.id}`))
done.left = (await api.get(members)).data

console.log(JSON.stringify(done))
