package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/api"
)

// The virtual accounts of the demo. The first is the default one.
const (
	demoHQ     = "HQ"
	demoLabs   = "Labs"
	demoBranch = "Branch"
	demoPlant  = "Plant" // a satellite and its virtual account
)

// demoOrders are the purchases of the demo, of the kinds that customers of conferencing and call control make.
func demoOrders(now time.Time) []api.OrderFile {
	day := func(days int) string { return now.AddDate(0, 0, days).Format(time.DateOnly) }
	bought := day(-300) // before the meetings, which are counted against what was owned then
	return []api.OrderFile{
		{Order: "SO-104215", Lines: []api.OrderLine{
			{SKU: "CUWL-PMP-K9", Quantity: 20, VirtualAccount: demoHQ, Start: bought},
			{Tag: "cms-smp-plus", Quantity: 3, VirtualAccount: demoHQ, Start: bought},
			{SKU: "R-CMS-K9", Quantity: 2, VirtualAccount: demoHQ, Start: bought},
			{Tag: "exp-rms", Quantity: 10, VirtualAccount: demoHQ},
			{Tag: "exp-tp-room", Quantity: 12, VirtualAccount: demoHQ},
		}},
		{Order: "SO-104388", Lines: []api.OrderLine{
			{Tag: "ucm-cuwl-pro", Quantity: 20, VirtualAccount: demoHQ},
			{Tag: "ucm-cuwl", Quantity: 40, VirtualAccount: demoHQ},
			{Tag: "ucm-enhanced-plus", Quantity: 120, VirtualAccount: demoHQ},
			{Tag: "ucm-enhanced", Quantity: 200, VirtualAccount: demoHQ},
			{Tag: "ucm-tp-room", Quantity: 12, VirtualAccount: demoHQ},
		}},
		{Order: "SO-105102", Lines: []api.OrderLine{
			{Tag: "tms-device", Quantity: 35, VirtualAccount: demoHQ},
			{Tag: "tmsxe-endpoint", Quantity: 25, VirtualAccount: demoHQ},
			{SKU: "TMS-APPINT", Quantity: 1, VirtualAccount: demoHQ},
		}},
		{Order: "SO-105977", Lines: []api.OrderLine{
			{Tag: "cwms-host", Quantity: 100, VirtualAccount: demoBranch, Type: "TERM", Start: day(-344), End: day(21), Subscription: "Sub-88213"},
			{SKU: "CWMS-MD-S-UG-S-K9", Quantity: 2, VirtualAccount: demoBranch},
			{Tag: "exp-rms", Quantity: 4, VirtualAccount: demoBranch},
		}},
		{Order: "TRIAL-0071", Lines: []api.OrderLine{
			{Tag: "cms-recording", Quantity: 2, VirtualAccount: demoLabs, Type: "DEMO", Start: day(-9), End: day(51)},
			{SKU: "R-VTS", Quantity: 1, VirtualAccount: demoLabs, Type: "DEMO", Start: day(-9), End: day(51)},
		}},
	}
}

// demoProducts are the products that register in HQ: the edge uses more sessions than HQ bought, while Branch has some free;
// the call control uses more of one tier than was bought, which the tiers above make good.
func demoProducts() []demoProduct {
	return []demoProduct{
		{agent.Product{Name: "Expressway-E edge1", PID: "EXP-E", Serial: "0A41C7E2", Version: "15.0.2", Hostname: "edge1." + demoDomain}, map[string]int64{"exp-rms": 12, "exp-tp-room": 9}},
		{agent.Product{Name: "Unified CM cluster", PID: "UCM-CL", Serial: "5D20F9B3", Version: "15.0.1", Hostname: "ucm-pub." + demoDomain},
			map[string]int64{"ucm-cuwl-pro": 18, "ucm-cuwl": 31, "ucm-enhanced-plus": 127, "ucm-enhanced": 164, "ucm-tp-room": 11}},
	}
}

// demoPlantProduct is the product behind the satellite.
func demoPlantProduct() demoProduct {
	return demoProduct{agent.Product{Name: "Unified CM plant", PID: "UCM-CL", Serial: "7B90E4D1", Version: "15.0.1", Hostname: "ucm-plant." + demoDomain}, map[string]int64{"ucm-enhanced": 14}}
}

type demoProduct struct {
	agent.Product
	usage map[string]int64
}

// seed makes the account, its virtual accounts, orders, directory and call bridge, and returns the receiver's address.
func (d *demo) seed(ctx context.Context) (receiver string, err error) {
	a, err := d.client.CreateAccount(ctx, demoDomain)
	if err != nil {
		return "", err
	}
	d.account = a.ID
	if _, err := d.client.ChangeVirtualAccount(ctx, a.ID, a.DefaultVirtualAccount, api.VirtualAccountChange{Name: demoHQ}); err != nil {
		return "", err
	}
	for _, name := range []string{demoLabs, demoBranch} {
		if _, err := d.client.CreateVirtualAccount(ctx, a.ID, name); err != nil {
			return "", err
		}
	}
	for _, order := range demoOrders(d.now()) {
		order.Account = demoDomain
		doc, err := json.Marshal(order)
		if err != nil {
			return "", fmt.Errorf("write order %s: %w", order.Order, err)
		}
		if _, err := d.client.ImportOrders(ctx, a.ID, doc); err != nil {
			return "", err
		}
	}
	if _, err := d.client.EnableConference(ctx, a.ID, demoHQ); err != nil {
		return "", err
	}
	directory, err := d.directory.document()
	if err != nil {
		return "", fmt.Errorf("write the directory: %w", err)
	}
	if _, err := d.client.ImportDirectory(ctx, a.ID, directory); err != nil {
		return "", err
	}
	bridge, err := d.client.CreateBridge(ctx, a.ID, api.NewBridge{Name: "CMS cluster"})
	return bridge.URL, err
}

// register lets the products register and report over HTTP, as products do.
func (d *demo) register(ctx context.Context) error {
	token, err := d.client.CreateToken(ctx, d.account, demoHQ, api.NewToken{MaxUses: new(int64(10)), Description: "products of the demo"})
	if err != nil {
		return err
	}
	for _, p := range demoProducts() {
		if err := p.start(ctx, filepath.Join(d.folder, "products", p.Serial), d.address, token.Token, d.now); err != nil {
			return fmt.Errorf("start %s: %w", p.Name, err)
		}
	}
	return nil
}

// plant makes a satellite with some of HQ's licenses, joins it, and lets a product register behind it. It is served until ctx
// ends.
func (d *demo) plant(ctx context.Context, stop func(), log *slog.Logger) error {
	made, err := d.client.CreateSatellite(ctx, d.account, api.NewSatellite{Name: demoPlant})
	if err != nil {
		return err
	}
	if _, err := d.client.Transfer(ctx, d.account, api.Transfer{Tag: "ucm-enhanced", Quantity: 20, From: demoHQ, To: demoPlant}); err != nil {
		return err
	}
	config := Config{Data: filepath.Join(d.folder, "plant"), Listen: "127.0.0.1:0", Plaintext: true, LogLevel: "error", Upstream: d.address, SyncEvery: "daily",
		Name: []string{"licenses.plant." + demoDomain}, // as it runs on the host of its authority
	}
	if _, err := joinNow(ctx, config, made.Token, log); err != nil {
		return err
	}
	if d.plantKey, err = bootstrap(ctx, config, log, false); err != nil {
		return err
	}
	if d.plantAddress, d.plantServed, err = serveUntil(ctx, stop, config, log); err != nil || d.plantAddress == "" {
		return err
	}
	return d.stock(ctx)
}

// stock registers the product behind the satellite and tells the authority.
func (d *demo) stock(ctx context.Context) error {
	client, err := api.New(api.Config{URL: d.plantAddress, Key: d.plantKey})
	if err != nil {
		return err
	}
	token, err := client.CreateToken(ctx, d.account, demoPlant, api.NewToken{Description: "products of the plant"})
	if err != nil {
		return err
	}
	p := demoPlantProduct()
	if err := p.start(ctx, filepath.Join(d.folder, "products", p.Serial), d.plantAddress, token.Token, d.now); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	_, err = client.SyncNow(ctx, d.account)
	return err
}

func (p demoProduct) start(ctx context.Context, dir, address, token string, now func() time.Time) error {
	keeper, err := agent.OpenDir(dir)
	if err != nil {
		return err
	}
	a, err := agent.New(keeper, agent.Options{Now: now})
	if err != nil {
		return err
	}
	if err := a.Init(ctx, p.Product); err != nil {
		return err
	}
	if err := a.SetTransport(ctx, address); err != nil {
		return err
	}
	for tag, count := range p.usage {
		if err := a.SetUsage(ctx, tag, count); err != nil {
			return err
		}
	}
	return a.Register(ctx, token, false) // reports the use at once
}
