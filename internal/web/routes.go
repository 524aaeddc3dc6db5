package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
)

// class says who may call a route.
type class string

const (
	public   class = "public"   // anybody; the console has a sign-in of its own
	machine  class = "machine"  // a product; the signature of its envelope is the check
	receiver class = "receiver" // a call bridge; the secret name in the address is the check
	keyed    class = "key"      // an API key whose role has the route's action
	basic    class = "basic"    // the same, as the password of a Basic sign-in: the call bridge's API
)

// route is one row of the table of all that this server serves.
type route struct {
	method, path string
	class        class
	action       access.Action // of keyed routes; on which account, the verb checks
	serve        func(*server, route)
}

const (
	machineRoute  = "POST /machine/v1/{verb}"
	receiverRoute = "POST /cdr/{receiver}"

	accounts = "/api/v1/accounts"
	account  = accounts + "/{account}"
	va       = account + "/virtual-accounts/{virtualAccount}"
	bridge   = account + "/conference/bridges/{bridge}"
	ldap     = account + "/conference/ldap/{source}"
)

// routes is the table. An address that is not in it does not exist.
func (s *server) routes() []route {
	return slices.Concat(s.faceRoutes(), s.bridgeAPIRoutes(), s.directoryRoutes(), s.reservationRoutes(), []route{
		{"GET", "/livez", public, "", plain(live)},
		{"GET", "/readyz", public, "", plain(s.ready)},
		{"GET", "/root.pem", public, "", plain(s.root)},
		{"POST", "/machine/v1/{verb}", machine, "", plain(s.gate)},
		{"POST", "/cdr/{receiver}", receiver, "", plain(s.receive)},
		{"", "/", public, "", plain(s.Console.ServeHTTP)},

		{"GET", "/api/v1/openapi.json", keyed, access.See, plain(s.serveOpenAPI)},

		{"POST", accounts, keyed, access.Run, rest("create-account", "Create an account", s.createAccount, created)},
		{"GET", accounts, keyed, access.See, rest("list-accounts", "List the accounts that the key sees", s.listAccounts)},
		{"GET", account, keyed, access.See, rest("get-account", "Find an account", s.showAccount)},

		{"POST", account + "/virtual-accounts", keyed, access.Manage, rest("create-virtual-account", "Create a virtual account", s.createVA, created)},
		{"GET", account + "/virtual-accounts", keyed, access.See, rest("list-virtual-accounts", "List the virtual accounts", s.listVAs)},
		{"GET", va, keyed, access.See, rest("get-virtual-account", "Find a virtual account", s.showVA)},
		{"PATCH", va, keyed, access.Manage, rest("change-virtual-account", "Rename a virtual account or make it the default one", s.changeVA)},
		{"DELETE", va, keyed, access.Manage, rest("delete-virtual-account", "Delete an empty virtual account", s.deleteVA)},

		{"POST", va + "/tokens", keyed, access.Manage, rest("create-token", "Create a registration token", s.createToken, created)},
		{"GET", va + "/tokens", keyed, access.See, rest("list-virtual-account-tokens", "List the registration tokens of a virtual account", s.listVATokens)},
		{"GET", va + "/tokens/{token}", keyed, access.See, rest("get-virtual-account-token", "Find a registration token of a virtual account", s.showVAToken)},
		{"POST", va + "/tokens/{token}/revoke", keyed, access.Manage, rest("revoke-virtual-account-token", "Stop new registrations with a token of a virtual account", s.revokeVAToken)},
		{"DELETE", va + "/tokens/{token}", keyed, access.Manage, rest("remove-virtual-account-token", "Remove a registration token of a virtual account", s.removeVAToken)},
		{"GET", account + "/tokens", keyed, access.See, rest("list-tokens", "List the registration tokens", s.listTokens)},
		{"GET", account + "/tokens/{token}", keyed, access.See, rest("get-token", "Find a registration token", s.showToken)},
		{"POST", account + "/tokens/{token}/revoke", keyed, access.Manage, rest("revoke-token", "Stop new registrations with a token", s.revokeToken)},
		{"DELETE", account + "/tokens/{token}", keyed, access.Manage, rest("remove-token", "Remove a registration token", s.removeToken)},

		{"POST", account + "/orders", keyed, access.Manage, rest("import-orders", "Import the orders of a file", s.importOrders, s.orderBody)},
		{"GET", account + "/orders", keyed, access.See, rest("list-orders", "List the orders", s.listOrders)},
		{"GET", account + "/orders/{order}", keyed, access.See, rest("get-order", "Find an order", s.showOrder)},
		{"GET", account + "/licenses", keyed, access.See, rest("list-licenses", "List stock and use with their reasons", s.listLicenses)},
		{"GET", account + "/licenses/{tag}", keyed, access.See, rest("get-license", "List stock and use of one tag", s.showLicense)},
		{"GET", account + "/lots", keyed, access.See, rest("list-lots", "List what the virtual accounts hold, lot by lot", s.listLots)},
		{"POST", account + "/transfers", keyed, access.Manage, rest("transfer", "Transfer licenses between virtual accounts", s.transfer)},

		{"GET", account + "/instances", keyed, access.See, rest("list-instances", "List the product instances", s.listInstances)},
		{"GET", account + "/instances/{instance}", keyed, access.See, rest("get-instance", "Find a product instance", s.showInstance)},
		{"DELETE", account + "/instances/{instance}", keyed, access.Manage, rest("remove-instance", "Remove a product instance", s.removeInstance)},
		{"POST", account + "/instances/{instance}/move", keyed, access.Manage, rest("move-instance", "Move a product instance to another virtual account", s.moveInstance)},
		{"POST", account + "/instances/{instance}/settle", keyed, access.Manage, rest("settle-instance", "Say that one copy of a product instance is at work", s.settleInstance)},

		{"POST", account + "/satellites", keyed, access.Manage, rest("create-satellite", "Create a satellite and the token that it joins with", s.createSatellite, created)},
		{"GET", account + "/satellites", keyed, access.See, rest("list-satellites", "List the satellites", s.listSatellites)},
		{"POST", account + "/satellites/answer", keyed, access.Manage, rest("answer-satellite", "Answer a file of a satellite", s.answerSatellite, syncBody)},
		{"GET", account + "/satellites/{satellite}", keyed, access.See, rest("get-satellite", "Find a satellite", s.showSatellite)},
		{"DELETE", account + "/satellites/{satellite}", keyed, access.Manage, rest("remove-satellite", "Remove a satellite", s.removeSatellite)},
		{"POST", account + "/satellites/{satellite}/invite", keyed, access.Manage, rest("invite-satellite", "Make a new token for a satellite", s.inviteSatellite)},
		{"POST", account + "/satellites/{satellite}/settle", keyed, access.Manage, rest("settle-satellite", "Say that somebody has looked at what is noted of a satellite", s.settleSatellite)},
		{"GET", account + "/sync", keyed, access.See, rest("get-sync", "Say how this satellite stands with its authority", s.syncStatus)},
		{"PUT", account + "/sync", keyed, access.Manage, rest("set-sync", "Say what does not leave this satellite", s.setSync)},
		{"GET", account + "/sync/preview", keyed, access.See, rest("preview-sync", "Show everything that would leave this satellite", s.previewSync)},
		{"POST", account + "/sync/export", keyed, access.Manage, rest("export-sync", "Make the next file for the authority", s.exportSync)},
		{"POST", account + "/sync/apply", keyed, access.Manage, rest("apply-sync", "Take over an answer of the authority", s.applySync, syncBody)},
		{"POST", account + "/sync/now", keyed, access.Manage, rest("sync-now", "Synchronize over the network", s.syncNow)},

		{"GET", account + "/events", keyed, access.See, rest("list-events", "List the events, the oldest first", s.listEvents)},
		{"GET", account + "/events/verification", keyed, access.See, rest("verify-events", "Check the event chain and the books", s.verifyEvents)},
		{"GET", account + "/reports/{kind}", keyed, access.See, rest("report", "Make a report", s.report, s.reportAnswer)},

		{"PUT", account + "/conference", keyed, access.Manage, rest("enable-conference", "Put the conference engine to work", s.enableConference)},
		{"POST", account + "/conference/bridges", keyed, access.Manage, rest("create-bridge", "Create a receiver for a call bridge", s.createBridge, created)},
		{"GET", account + "/conference/bridges", keyed, access.See, rest("list-bridges", "List the receivers", s.listBridges)},
		{"GET", bridge, keyed, access.See, rest("get-bridge", "Find a bridge, with what came of each call bridge", s.showBridge)},
		{"GET", bridge + "/sessions", keyed, access.See, rest("list-bridge-sessions", "List the runs of call bridges", s.listSessions)},
		{"PUT", bridge + "/callbridges/{callBridge}", keyed, access.Manage, rest("set-callbridge", "Say whether the records of a call bridge count", s.setCallBridge)},
		{"GET", bridge + "/conflicts", keyed, access.See, rest("list-conflicts", "List the records that contradict stored ones", s.listConflicts)},
		{"GET", bridge + "/refused", keyed, access.See, rest("list-refused", "List the posts that were not taken", s.listRefused)},
		{"GET", bridge + "/refused/{refused}", keyed, access.See, rest("get-refused", "Find a post that was not taken", s.showRefused)},
		{"POST", bridge + "/receivers", keyed, access.Manage, rest("add-receiver", "Make another receiver address, or a new one for all", s.addReceiver, created)},
		{"DELETE", bridge + "/receivers/{receiver}", keyed, access.Manage, rest("retire-receiver", "Stop a receiver address", s.retireReceiver)},
		{"GET", account + "/conference/retention", keyed, access.See, rest("get-retention", "Say for how long posts are kept", s.showRetention)},
		{"PUT", account + "/conference/retention", keyed, access.Manage, rest("set-retention", "Set for how long posts are kept", s.setRetention)},
		{"GET", account + "/conference/policies", keyed, access.See, rest("list-policies", "List the policies in force", s.listPolicies)},
		{"PUT", account + "/conference/policies", keyed, access.Manage, rest("set-policy", "Put a policy in force", s.setPolicy)},
		{"GET", account + "/conference/policies/options", keyed, access.See, rest("list-policy-options", "List the options of policies", s.listPolicyOptions)},
		{"GET", account + "/conference/ask", keyed, access.See, rest("ask", "Decide a meeting without a call, under each policy", s.ask)},
		{"GET", account + "/conference/meetings", keyed, access.See, rest("list-meetings", "List the meetings, the newest first", s.listMeetings)},
		{"GET", account + "/conference/meetings/{meeting}", keyed, access.See, rest("get-meeting", "Find a meeting, with its participants", s.showMeeting)},
		{"GET", account + "/conference/meetings/{meeting}/records", keyed, access.See, rest("list-meeting-records", "List the call-detail records of a meeting with every field", s.listRecords)},
		{"GET", account + "/conference/replay", keyed, access.See, rest("replay", "Decide stored meetings again and show what differs", s.showReplay)},
		{"POST", account + "/conference/replay", keyed, access.Manage, rest("write-replay", "Decide stored meetings again and write what differs", s.writeReplay)},
		{"GET", account + "/conference/usage", keyed, access.See, rest("list-conference-usage", "List the highest use per hour and license", s.listUsage)},
		{"GET", account + "/conference/usage/days", keyed, access.See, rest("list-conference-days", "List the use per UTC day and license", s.listDays)},
		{"GET", account + "/conference/usage/levels", keyed, access.See, rest("list-conference-levels", "Say how long each level of use held", s.listLevels)},
		{"GET", account + "/conference/usage/peaks", keyed, access.See, rest("list-conference-peaks", "Find the highest use and the meetings in it", s.listPeaks)},
		{"GET", account + "/conference/demand", keyed, access.See, rest("get-conference-demand", "Find unmet demand and what would have helped", s.showDemand)},
		{"GET", account + "/conference/compliance", keyed, access.See, rest("get-conference-compliance", "Count the days over entitlement", s.showCompliance)},
		{"PUT", account + "/conference/compliance", keyed, access.Manage, rest("set-conference-thresholds", "Set the thresholds of the levels", s.setThresholds)},
		{"GET", account + "/conference/allocation", keyed, access.See, rest("list-conference-allocation", "Show what bridges are allocated", s.listAllocation)},
		{"PUT", account + "/conference/allocation", keyed, access.Manage, rest("set-conference-allocation", "Allocate licenses to a bridge", s.allocate)},
		{"GET", account + "/conference/activation", keyed, access.See, rest("list-conference-activation", "Show the activation of bridges", s.listActivation)},
		{"PUT", account + "/conference/activation", keyed, access.Manage, rest("set-conference-activation", "Say whether a call bridge has its activation key", s.setActivation)},
		{"GET", account + "/conference/snapshots", keyed, access.See, rest("list-conference-snapshots", "List the use every five minutes", s.listSnapshots)},
		{"PUT", account + "/conference/directory", keyed, access.Manage, rest("import-directory", "Replace the directory", s.importDirectory, s.directoryBody)},
		{"GET", account + "/conference/directory", keyed, access.See, rest("get-directory", "Say which directory is in force", s.showDirectory)},
	})
}

// plain serves a route by a handler that huma does not know.
func plain(h http.HandlerFunc) func(*server, route) {
	return func(s *server, r route) {
		if r.class == keyed {
			h = s.withKey(r.action, h)
		}
		s.mux.HandleFunc(strings.TrimSpace(r.method+" "+r.path), h)
	}
}

func (s *server) withKey(action access.Action, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.admit(r, action); err != nil {
			writeProblem(w, s.problemOf(r.Context(), w.Header().Get(requestHeader), err))
			return
		}
		h(w, r)
	}
}

// closeTrees answers what the table does not have: the trees of programs get problem documents and do not fall through to
// the console.
func (s *server) closeTrees() {
	missing := s.withKey(access.See, s.missing)
	s.mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		if scheme(r) == "basic" {
			s.missingDocument(w, r)
			return
		}
		missing(w, r)
	})
	s.mux.HandleFunc("/machine/", s.missing)
	s.mux.HandleFunc("/cdr/", func(w http.ResponseWriter, r *http.Request) {
		if len(s.allowed(w, r)) > 0 {
			http.Error(w, "call-detail records are posted", http.StatusMethodNotAllowed)
			return
		}
		http.Error(w, "there is no such receiver", http.StatusNotFound)
	})
}

// missing says that there is no such address, or none for the method.
func (s *server) missing(w http.ResponseWriter, r *http.Request) {
	if methods := s.allowed(w, r); len(methods) > 0 {
		writeProblem(w, newProblem(http.StatusMethodNotAllowed, "method", "use "+strings.Join(methods, " or "), "%s is not possible here", r.Method))
		return
	}
	writeProblem(w, s.problemOf(r.Context(), "", license.Refuse(license.KindNotFound, "no-such-address", "/api/v1/openapi.json lists what there is", "there is nothing at this address")))
}

// allowed finds the methods that an address has, and says them in the answer's header.
func (s *server) allowed(w http.ResponseWriter, r *http.Request) []string {
	var methods []string
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		probe := r.Clone(r.Context())
		probe.Method = m
		if _, pattern := s.mux.Handler(probe); strings.HasPrefix(pattern, m+" ") {
			methods = append(methods, m)
		}
	}
	if methods != nil {
		w.Header().Set("Allow", strings.Join(methods, ", "))
	}
	return methods
}

func missingPage(w http.ResponseWriter, _ *http.Request) {
	writeProblem(w, newProblem(http.StatusNotFound, "no-such-address", "the REST resources are under /api/v1", "there is nothing at this address"))
}
