// Program tally-agent is the product side of Tallystick on the command line: it registers a product with an authority,
// reports what the product uses, renews what must be renewed, and shows how things stand in the words and the layout that
// administrators of this field know. All rules are in package agent; here are only words, tables and exit codes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/words"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes.
const (
	exitFailed = iota + 1
	exitUsage
	exitRefused
	exitNotFound
	exitConflict
	exitPermission
	exitUnreachable
)

// cli is the whole command line.
type cli struct {
	State string `help:"Folder that holds everything: state, key, certificates." default:"./tally-agent-state" env:"TALLY_AGENT_STATE" placeholder:"DIR"`
	JSON  bool   `name:"json" help:"Print the documented JSON document." env:"TALLY_AGENT_JSON"`

	Init      initCmd       `cmd:"" help:"Say once which product this is."`
	Transport transportCmds `cmd:"" help:"How the authority is reached."`
	License   struct {
		Smart struct {
			Register struct {
				Idtoken registerCmd `cmd:"" help:"Register with a token of the authority."`
				Cancel  cancelCmd   `cmd:"" help:"Stop trying to register."`
			} `cmd:"" help:"Register the product."`
			Renew struct {
				Auth reportCmd  `cmd:"" help:"Report now and get a new authorization."`
				ID   renewIDCmd `cmd:"" name:"id" aliases:"ID" help:"Get a new ID certificate now."`
			} `cmd:"" help:"Renew the authorization or the identity."`
			Transport  transportCmds `cmd:"" hidden:"" help:"How the authority is reached; the same as tally-agent transport."`
			Privacy    privacyCmd    `cmd:"" help:"Say what is not told to the authority."`
			Deregister deregisterCmd `cmd:"" help:"Give the identity and the licenses back."`
			Factory    struct {
				Reset resetCmd `cmd:"" help:"Forget identity, trust and transport; evaluation time and reservation numbers stay."`
			} `cmd:"" help:"Begin anew."`
			Reservation reservationCmds `cmd:"" help:"Hold licenses by codes, without a connection."`
		} `cmd:"" help:"Smart licensing."`
	} `cmd:"" help:"License commands."`
	Show struct {
		License struct {
			Status  showStatusCmd  `cmd:"" help:"Registration, authorization and what to do next."`
			Summary showSummaryCmd `cmd:"" help:"One line per license."`
			Usage   showUsageCmd   `cmd:"" help:"One block per license."`
			UDI     showUDICmd     `cmd:"" name:"udi" help:"The identity of the product."`
			All     showAllCmd     `cmd:"" help:"Everything."`
			Tech    struct {
				Support showSupportCmd `cmd:"" default:"1" help:"Everything, for those who help."`
			} `cmd:"" aliases:"tech-support" help:"Everything, for those who help."`
		} `cmd:"" help:"What is known about licensing."`
	} `cmd:"" help:"Show how things stand."`
	Usage struct {
		Set usageSetCmd `cmd:"" help:"Say what the product uses of a tag now."`
	} `cmd:"" help:"What the product uses."`
	Report   reportCmd   `cmd:"" help:"Exchange with the authority once, now."`
	Decision decisionCmd `cmd:"" help:"Ask what the product may do; exit code 3 when the policy of the product says no."`
	Serve    serveCmd    `cmd:"" help:"Renew, report and retry until stopped; with --listen also serve this host."`
	Cluster  struct {
		Hold   clusterHoldCmd   `cmd:"" help:"Hold the identity for the other nodes of a product cluster."`
		Invite clusterInviteCmd `cmd:"" help:"Write the invitation with which other nodes join."`
		Join   clusterJoinCmd   `cmd:"" help:"Report through the node that holds the identity."`
		Leave  clusterLeaveCmd  `cmd:"" help:"Be a product of its own again."`
		Remove clusterRemoveCmd `cmd:"" help:"Forget a node that is gone."`
		Status clusterStatusCmd `cmd:"" help:"Show the place of this node and its members."`
	} `cmd:"" help:"Product cluster: one node holds the identity, the others report through it."`
	Page   pageCmd   `cmd:"" help:"Print a one-time link to the product page System > Licenses."`
	Doctor doctorCmd `cmd:"" help:"Walk the way to the authority and say which step fails and what mends it."`

	Version versionCmd `cmd:"" help:"Print the version."`
}

// shell is what a verb works with.
type shell struct {
	agent  *agent.Agent
	dir    string // state folder
	now    func() time.Time
	log    *slog.Logger
	json   bool
	stdout io.Writer
	stderr io.Writer
	// terminal says that a person watches standard error.
	terminal bool
}

// run is the program without the process around it; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	left := -1 // the exit code of --help
	parser, err := kong.New(&c, kong.Name("tally-agent"), kong.Description("The product side of Tallystick."),
		kong.Writers(stdout, stderr), kong.UsageOnError(),
		kong.Exit(func(code int) { left = code }))
	if err != nil {
		return fail(stderr, err)
	}
	k, err := words.Parse(parser, args)
	if left >= 0 {
		return left
	}
	if err != nil {
		return fail(stderr, err)
	}
	keeper, err := agent.OpenDir(c.State)
	if err != nil {
		return fail(stderr, err)
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	a, err := agent.New(keeper, agent.Options{Now: clock(), Uptime: uptime(), Logger: log})
	if err != nil {
		return fail(stderr, err)
	}
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(&shell{agent: a, dir: c.State, now: clock(), log: log, json: c.JSON, stdout: stdout, stderr: stderr, terminal: isTerminal(stderr)}); err != nil {
		return fail(stderr, err)
	}
	return 0
}

// fail prints an error as people and scripts expect it and returns its exit code.
func fail(stderr io.Writer, err error) int {
	e := license.AsError(err)
	if u, ok := errors.AsType[*agent.Unreachable](err); ok && e == nil {
		e = license.Refuse(license.KindUnavailable, "unreachable", "check the address and the network; the product goes on working, and the same command may be repeated", "%s", u.Error())
	}
	if e == nil {
		fmt.Fprintf(stderr, "error: %v\n", err)
		return exitFailed
	}
	fmt.Fprintf(stderr, "error: %s\n", e.Message)
	if e.Hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", e.Hint)
	}
	switch e.Kind {
	case license.KindInvalid, license.KindTooLarge:
		return exitUsage
	case license.KindRefused:
		return exitRefused
	case license.KindNotFound:
		return exitNotFound
	case license.KindConflict:
		return exitConflict
	case license.KindPermission, license.KindUnknown:
		return exitPermission
	case license.KindBusy:
		return exitUnreachable
	case license.KindUnavailable:
		if e.Code == "unreachable" {
			return exitUnreachable
		}
	}
	return exitFailed
}

// isTerminal says whether w is a terminal, without asking more of the system than the kind of the file.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// print writes a document as JSON.
func (s *shell) print(doc any) error {
	enc := json.NewEncoder(s.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

// show prints the status: as JSON, or as text draws it.
func (s *shell) show(ctx context.Context, text func(agent.Status) string) error {
	st, err := s.agent.Status(ctx)
	if err != nil {
		return err
	}
	if s.json {
		return s.print(st)
	}
	_, err = io.WriteString(s.stdout, text(st))
	return err
}
