// Program tally is the server of Tallystick and every administrator's verb: `tally serve` runs the authority with its console
// and the conference engine, `tally bootstrap` and `tally signin` work on the host beside it, `tally demo` shows all of it in
// a temporary folder, and the other verbs speak to a server through its REST API like any other client.
//
// It holds no rule of licensing: here are flags, wiring, loops, tables and exit codes.
//
// Invariants: results go to standard output, everything else to standard error; with --json the standard output is one
// JSON document; an error is one line `error: …` and, where something can be done, one line `hint: …`.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/tallystick/tallystick/internal/words"
)

// version is what --version, the machine gate and the console show.
const version = "0.1.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := tally(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// program is the whole command line.
type program struct {
	globals

	Demo      demoCmd      `cmd:"" help:"A complete estate in a temporary folder; Ctrl-C ends it."`
	Bootstrap bootstrapCmd `cmd:"" help:"Make the first administrator's key; run it on the host."`
	Serve     serveCmd     `cmd:"" help:"Run the server."`
	Signin    signinCmd    `cmd:"" name:"signin" help:"Print a one-time link for the console; run it on the host."`

	VersionVerb versionCmd `cmd:"" name:"version" help:"Print the version."`

	AccountVerbs struct {
		Create accountCreateCmd `cmd:"" help:"Create an account with its default virtual account."`
		List   accountListCmd   `cmd:"" help:"List accounts."`
		Show   accountShowCmd   `cmd:"" help:"Show one account."`

		Reservation struct {
			Allow reservationAllowCmd     `cmd:"" help:"Let an account reserve licenses."`
			Deny  reservationDenyCmd      `cmd:"" help:"Stop new reservations of an account; those that it has stay."`
			Show  reservationLeaveShowCmd `cmd:"" help:"Show what an account may reserve."`
		} `cmd:"" help:"Whether an account may reserve licenses."`
	} `cmd:"" name:"account" help:"Accounts."`
	VA struct {
		Create  vaCreateCmd  `cmd:"" help:"Create a virtual account."`
		List    vaListCmd    `cmd:"" help:"List virtual accounts."`
		Rename  vaRenameCmd  `cmd:"" help:"Rename a virtual account."`
		Delete  vaDeleteCmd  `cmd:"" help:"Delete an empty virtual account."`
		Default vaDefaultCmd `cmd:"" help:"Make a virtual account the default one."`
	} `cmd:"" name:"va" help:"Virtual accounts."`
	Order struct {
		Import orderImportCmd `cmd:"" help:"Import order files, JSON or CSV."`
		List   orderListCmd   `cmd:"" help:"List orders."`
		Show   orderShowCmd   `cmd:"" help:"Show one order."`
	} `cmd:"" help:"Orders."`
	License struct {
		List     licenseListCmd     `cmd:"" help:"What is bought, used, available and short, and why."`
		Show     licenseShowCmd     `cmd:"" help:"One license in every virtual account, with all reasons."`
		Lots     licenseLotsCmd     `cmd:"" help:"What is held, lot by lot."`
		Transfer licenseTransferCmd `cmd:"" help:"Move licenses between virtual accounts."`
	} `cmd:"" help:"Licenses."`
	Token struct {
		Create tokenCreateCmd `cmd:"" help:"Make a registration token; it is shown once."`
		List   tokenListCmd   `cmd:"" help:"List registration tokens."`
		Revoke tokenRevokeCmd `cmd:"" help:"Stop new registrations with a token."`
		Remove tokenRemoveCmd `cmd:"" help:"Remove a token from the list."`
	} `cmd:"" help:"Registration tokens."`
	Instance struct {
		List   instanceListCmd   `cmd:"" help:"List product instances."`
		Show   instanceShowCmd   `cmd:"" help:"Show one product instance."`
		Remove instanceRemoveCmd `cmd:"" help:"Remove a product instance; its licenses are free at once."`
		Move   instanceMoveCmd   `cmd:"" help:"Move a product instance to another virtual account."`
		Settle instanceSettleCmd `cmd:"" help:"Say that one copy of a product instance is at work."`
	} `cmd:"" help:"Product instances."`
	Reservation struct {
		Create  reservationCreateCmd  `cmd:"" help:"Reserve licenses for a product that cannot be reached."`
		Update  reservationUpdateCmd  `cmd:"" help:"Change what a reservation holds."`
		Confirm reservationConfirmCmd `cmd:"" help:"Enter the confirmation code of the product."`
		Return  reservationReturnCmd  `cmd:"" help:"Enter the return code of the product; its licenses are free."`
		Rehost  struct {
			Ask     rehostAskCmd     `cmd:"" default:"withargs" help:"Ask to give the licenses of a dead product to another one; the default."`
			Approve rehostApproveCmd `cmd:"" help:"Approve what somebody else asked for."`
			Reject  rehostRejectCmd  `cmd:"" help:"Reject a rehost; nothing moves."`
			List    rehostListCmd    `cmd:"" help:"List rehosts."`
		} `cmd:"" help:"Dead products."`
		Release reservationReleaseCmd `cmd:"" help:"Answer for a dead product that was rehosted."`
		List    reservationListCmd    `cmd:"" help:"List reservations and what to look at."`
		Show    reservationShowCmd    `cmd:"" help:"Show one reservation and its codes again."`
	} `cmd:"" help:"Licenses of products on closed sites."`
	Satellite struct {
		Create satelliteCreateCmd `cmd:"" help:"Make a satellite and the token that it joins with, shown once."`
		List   satelliteListCmd   `cmd:"" help:"List satellites with what they have and when they synchronized."`
		Show   satelliteShowCmd   `cmd:"" help:"Show one satellite."`
		Invite satelliteInviteCmd `cmd:"" help:"Make a new token for a satellite that lost its database or keys."`
		Answer satelliteAnswerCmd `cmd:"" help:"Answer a file of a satellite."`
		Settle satelliteSettleCmd `cmd:"" help:"Say that somebody has looked at what is noted of a satellite."`
		Remove satelliteRemoveCmd `cmd:"" help:"Remove a satellite; it gives everything back first."`
	} `cmd:"" help:"Satellites, at their authority."`
	Sync struct {
		Join    syncJoinCmd    `cmd:"" help:"Make this server a satellite; run it on the host."`
		Now     syncNowCmd     `cmd:"" help:"Synchronize with the authority over the network."`
		Export  syncExportCmd  `cmd:"" help:"Make the next file for the authority, or show everything that would leave."`
		Apply   syncApplyCmd   `cmd:"" help:"Take over an answer of the authority."`
		Status  syncStatusCmd  `cmd:"" help:"Show how this satellite stands with its authority."`
		Privacy syncPrivacyCmd `cmd:"" help:"Say what does not leave the site."`
	} `cmd:"" help:"Synchronization, at a satellite."`
	Keys struct {
		Show   keysShowCmd   `cmd:"" help:"Show which issuing and message keys are in force."`
		Rotate keysRotateCmd `cmd:"" help:"Replace the issuing key and the message key; products take the new ones over by themselves."`
	} `cmd:"" help:"The keys of this server; run it on the host."`
	Event struct {
		List   eventListCmd   `cmd:"" help:"List the events of an account, the oldest first."`
		Verify eventVerifyCmd `cmd:"" help:"Recompute the event chain and the books of an account."`
	} `cmd:"" help:"The event chain."`
	Report  reportCmd `cmd:"" help:"Print a report."`
	Meeting struct {
		List meetingListCmd `cmd:"" help:"List meetings with the licenses they took."`
		Show meetingShowCmd `cmd:"" help:"Show one meeting."`
		Why  meetingWhyCmd  `cmd:"" help:"Say why a meeting took the license it took."`
		Ask  meetingAskCmd  `cmd:"" help:"Say what a meeting would take, without a call, under each policy."`

		Records meetingRecordsCmd `cmd:"" help:"Show the call-detail records of a meeting with every field."`
	} `cmd:"" help:"Meetings."`
	Conference struct {
		Enable enableCmd `cmd:"" help:"Put the conference engine to work in a virtual account."`
		Bridge struct {
			Add  bridgeAddCmd  `cmd:"" help:"Make a receiver for a call bridge or a cluster of them."`
			List bridgeListCmd `cmd:"" help:"List bridges and what came."`

			Show      bridgeShowCmd      `cmd:"" help:"Show what came of a bridge: call bridges, runs, losses, receivers."`
			Allow     bridgeAllowCmd     `cmd:"" help:"Count the records of a call bridge, also those that were kept."`
			Deny      bridgeDenyCmd      `cmd:"" help:"Do not count the records of a call bridge; they are kept."`
			Conflicts bridgeConflictsCmd `cmd:"" help:"List records that contradict stored ones, with both contents."`
			Refused   bridgeRefusedCmd   `cmd:"" help:"List posts that were not taken, or print one."`
			Rotate    bridgeRotateCmd    `cmd:"" help:"Make a new receiver address; those before end after an overlap."`
			Receiver  struct {
				Add    receiverAddCmd    `cmd:"" help:"Make another receiver address."`
				List   receiverListCmd   `cmd:"" help:"List receiver addresses and when they were used."`
				Retire receiverRetireCmd `cmd:"" help:"Stop a receiver address."`
			} `cmd:"" help:"Secret receiver addresses."`

			API struct {
				Set    bridgeAPISetCmd    `cmd:"" default:"withargs" help:"Say where the API of a call bridge is; the word set may be left out."`
				Show   bridgeAPIShowCmd   `cmd:"" help:"Show what the APIs of a bridge's call bridges said last."`
				Test   bridgeAPITestCmd   `cmd:"" help:"Sign in at an API, and keep nothing."`
				Poll   bridgeAPIPollCmd   `cmd:"" help:"Ask the APIs of a bridge's call bridges now."`
				Remove bridgeAPIRemoveCmd `cmd:"" help:"Forget the APIs of a bridge's call bridges."`
			} `cmd:"" name:"api" help:"The API of call bridges, which is read only."`
		} `cmd:"" help:"Bridges: call bridges or clusters of them, from which records come."`
		Directory struct {
			Import  directoryImportCmd  `cmd:"" help:"Replace what directory files say of users, spaces and devices."`
			Show    directoryShowCmd    `cmd:"" help:"Show which directory is in force, its users, spaces, clashes or sources."`
			Changes directoryChangesCmd `cmd:"" help:"The calendar: who appeared, disappeared, gained or lost a personal license."`
			Accept  ldapAcceptCmd       `cmd:"" help:"Agree to a change of a source that is held."`
			Default directoryDefaultCmd `cmd:"" help:"Whether users hold a personal license where their source says nothing."`
		} `cmd:"" help:"The directory of users and spaces."`
		Policy struct {
			Show    policyShowCmd    `cmd:"" help:"Show which policies are in force."`
			Options policyOptionsCmd `cmd:"" help:"List the options of policies and what they mean."`
			Set     policySetCmd     `cmd:"" help:"Put a policy in force for the meetings that begin from now on."`
		} `cmd:"" help:"The rules by which meetings take licenses."`
		LDAP struct {
			Add     ldapAddCmd     `cmd:"" help:"Add an LDAP source."`
			Set     ldapSetCmd     `cmd:"" help:"Change an LDAP source."`
			List    ldapListCmd    `cmd:"" help:"List LDAP sources."`
			Show    ldapShowCmd    `cmd:"" help:"Show one LDAP source."`
			Remove  ldapRemoveCmd  `cmd:"" help:"Remove an LDAP source with the users that only it knew."`
			Test    ldapTestCmd    `cmd:"" help:"Show what the first entries would become; changes nothing."`
			Sync    ldapSyncCmd    `cmd:"" help:"Read LDAP sources now."`
			Accept  ldapAcceptCmd  `cmd:"" help:"Agree to a change that is held."`
			History ldapHistoryCmd `cmd:"" help:"List the readings of all sources, the newest first."`
		} `cmd:"" name:"ldap" help:"LDAP sources of the directory."`
		Usage      conferenceUsageCmd `cmd:"" help:"Peaks per hour or day, time at each level, and the meetings of the peak."`
		Demand     demandCmd          `cmd:"" help:"When shared licenses were short, why, and what would have helped."`
		Compliance complianceCmd      `cmd:"" help:"Days over entitlement in the last 90, and the level of each license."`
		Snapshots  snapshotsCmd       `cmd:"" help:"Use every five minutes, in the classes of call bridges; the last 24 hours when no time is given."`
		Allocation struct {
			Show allocationShowCmd `cmd:"" help:"What bridges are allocated, and what is left."`
			Set  allocationSetCmd  `cmd:"" help:"Allocate licenses to a bridge."`
		} `cmd:"" help:"Licenses that are set aside for bridges."`
		Activation struct {
			Show activationShowCmd `cmd:"" help:"Activation keys and features of bridges."`
			Set  activationSetCmd  `cmd:"" help:"Say whether a call bridge has its activation key."`
		} `cmd:"" help:"Activation keys of call bridges, and the features that they activate."`
		Reconcile reconcileCmd `cmd:"" help:"Compare the call bridges' own count with ours, and find the policy that explains it best."`
		Replay    replayCmd    `cmd:"" help:"Decide stored meetings again from kept records, and show what differs."`
		Retention struct {
			Show retentionShowCmd `cmd:"" help:"Show for how long posts are kept."`
			Set  retentionSetCmd  `cmd:"" help:"Set for how long posts are kept."`
		} `cmd:"" help:"For how long the posts of call-detail records are kept."`
	} `cmd:"" help:"The conference engine."`
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(s *shell) error {
	doc := struct {
		Version string `json:"version"`
	}{version}
	return s.print(doc, lines(version))
}

// accountFits refuses an account that was typed for a verb that is not about one. TALLY_ACCOUNT and the file may name it all
// the same: they are for every verb.
func accountFits(k *kong.Context) error {
	words := strings.Fields(k.Command())
	if !slices.Contains([]string{"account", "bootstrap", "demo", "keys", "serve", "signin", "version"}, words[0]) {
		return nil
	}
	for _, p := range k.Path {
		if p.Flag != nil && p.Flag.Name == "account" && !p.Resolved {
			return usage("leave -A out", "`tally %s` takes no -A", strings.Join(words[:min(2, len(words))], " "))
		}
	}
	return nil
}

// tally is the program without the process around it; it returns the exit code.
func tally(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var p program
	left := -1 // the exit code of --help and --version
	parser, err := kong.New(&p, kong.Name("tally"), kong.Description("A self-hosted license manager: what have I bought, what am I using, and why."),
		kong.Writers(stdout, stderr), kong.ShortUsageOnError(), kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true}),
		kong.DefaultEnvars("TALLY"), kong.Configuration(loadConfig), kong.Vars{"version": version},
		kong.Exit(func(code int) { left = code }))
	if err != nil {
		return fail(stderr, fmt.Errorf("read the command line: %w", err))
	}
	k, err := words.Parse(parser, args)
	if left >= 0 {
		return left
	}
	if err == nil {
		err = accountFits(k)
	}
	if err != nil {
		return fail(stderr, err)
	}
	s := &shell{globals: p.globals, stdin: stdin, stdout: stdout, stderr: stderr}
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(s); err != nil {
		return fail(stderr, err)
	}
	return 0
}
