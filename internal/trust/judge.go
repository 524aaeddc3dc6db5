package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// ServerJudgement says, question by question, what the certificates of a TLS server are worth to a client that pins an
// authority. PinnedTLS answers all of them at once; this is for people who look for the one that is answered with no.
type ServerJudgement struct {
	// Own says that the certificate was made by the pinned authority itself.
	Own bool
	// Root is the fingerprint of the last certificate presented: the authority's root when one of ours is asked.
	Root Fingerprint
	// Names are the host names and addresses that the certificate is for.
	Names []string
	// From and To are the time in which every presented certificate is valid; To may be before From.
	From, To time.Time
	// Chain is nil when the certificates lead to the pinned root, or to one of the system, whatever the clock and the name.
	Chain error
	// Name is nil when the certificate is for the host, or when an address was dialed and no name is to be checked.
	Name error
}

// JudgeServer looks at the certificates that a server presented when host was dialed. With a zero root no authority is known
// yet, and a chain that ends in any root of its own is taken as one: whose it is then shows at the registration.
func JudgeServer(presented []*x509.Certificate, host string, root Fingerprint) ServerJudgement {
	return judge(serverCheck{root: root}, presented, host)
}

func judge(c serverCheck, presented []*x509.Certificate, host string) ServerJudgement {
	if len(presented) == 0 {
		none := errors.New("the server presented no certificate")
		return ServerJudgement{Chain: none, Name: none}
	}
	leaf, last := presented[0], presented[len(presented)-1]
	j := ServerJudgement{Root: Of(last.Raw), Names: slices.Clone(leaf.DNSNames), From: leaf.NotBefore, To: leaf.NotAfter}
	for _, ip := range leaf.IPAddresses {
		j.Names = append(j.Names, ip.String())
	}
	opts := x509.VerifyOptions{Roots: c.system, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	var anchor *x509.Certificate
	for _, cert := range presented[1:] {
		opts.Intermediates.AddCert(cert)
		if cert.NotBefore.After(j.From) {
			j.From = cert.NotBefore
		}
		if cert.NotAfter.Before(j.To) {
			j.To = cert.NotAfter
		}
		if Of(cert.Raw) == c.root {
			anchor = cert
		}
	}
	if c.root == (Fingerprint{}) && hasPurpose(leaf, purposeServer) {
		anchor = last
	}
	j.Own = anchor != nil && hasPurpose(leaf, purposeServer)
	if anchor != nil {
		opts.Roots = x509.NewCertPool()
		opts.Roots.AddCert(anchor)
	}
	opts.CurrentTime, _ = withinValidity(presented, leaf.NotAfter)
	address := net.ParseIP(host) != nil
	_, err := leaf.Verify(opts)
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		err = nil // at no time are all of them valid, which From and To tell
	}
	switch {
	case err != nil:
		j.Chain = fmt.Errorf("%w: %w", ErrChain, err)
	case !j.Own && slices.ContainsFunc(leaf.Policies, purposeArc.holds):
		j.Chain = fmt.Errorf("%w: it has another purpose", ErrChain)
	case !j.Own && address:
		j.Chain = fmt.Errorf("%w: without a host name only its own server certificate is accepted", ErrChain)
	}
	if !address {
		j.Name = leaf.VerifyHostname(host)
	}
	return j
}
