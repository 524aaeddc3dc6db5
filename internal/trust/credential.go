package trust

import (
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
)

// CredentialKind says what a credential opens. A credential of one kind is never accepted as another: the kind is in
// the text's prefix and under the digest.
type CredentialKind int

// The kinds of credentials.
const (
	APIKey   CredentialKind = iota + 1 // key of an API client: text "tally_…", id "key_…"
	Receiver                           // secret name in a call bridge's receiver address: text only [a-z0-9], id "rcv_…"
	SignIn                             // one-time sign-in code: text "si_…", id "sig_…"
	Session                            // console session: text "se_…", id "ses_…"
)

// IDPrefix is the prefix that NewID wants for a credential of this kind.
func (k CredentialKind) IDPrefix() string {
	switch k {
	case APIKey:
		return "key"
	case Receiver:
		return "rcv"
	case SignIn:
		return "sig"
	case Session:
		return "ses"
	}
	return ""
}

func (k CredentialKind) textPrefix() string {
	switch k {
	case APIKey:
		return "tally_"
	case SignIn:
		return "si_"
	case Session:
		return "se_"
	}
	return ""
}

// ErrCredential is the error of text that is not a whole, undamaged credential of the wanted kind.
var ErrCredential = errors.New("malformed or mistyped credential")

// credentialEncoding makes lower-case letters and digits only: fit for an address, and a double click selects it all.
var credentialEncoding = base32.NewEncoding(crockford).WithPadding(base32.NoPadding)

// Lengths of a credential: its id and secret, and before them the account's id unless it is one of the whole site.
const (
	siteBody    = 16 + 32
	accountBody = 16 + siteBody
)

// Credential is a bearer secret that says which account and row it belongs to, so that no global look-up is needed.
// The text is shown once; only Digest is stored. The zero Credential is not usable.
type Credential struct {
	Kind    CredentialKind
	Account string // "acc_…", empty for a credential of the whole site
	ID      string // with the prefix of its kind
	secret  hidden
}

// NewCredential makes a credential with a random secret of 256 bits. The account is empty for one of the whole site;
// the id comes from NewID with kind.IDPrefix(). The error is ErrID.
func NewCredential(kind CredentialKind, account, id string) (Credential, error) {
	if account != "" && !ValidID(accountPrefix, account) {
		return Credential{}, fmt.Errorf("account of credential: %w", ErrID)
	}
	if _, err := idBytes(kind.IDPrefix(), id); err != nil {
		return Credential{}, fmt.Errorf("id of credential: %w", err)
	}
	return Credential{Kind: kind, Account: account, ID: id, secret: hide([32]byte(Random(32)))}, nil
}

// ParseCredential reads the text of a credential of this kind. The error is ErrCredential and does not hold the text.
func ParseCredential(kind CredentialKind, s string) (Credential, error) {
	digits, ok := strings.CutPrefix(s, kind.textPrefix())
	if !ok || len(digits) > credentialEncoding.EncodedLen(accountBody+checksumLen) {
		return Credential{}, ErrCredential
	}
	b, err := credentialEncoding.DecodeString(digits)
	// Encoding again refuses what the decoder lets pass: line ends and unused bits.
	if err != nil || len(b) <= checksumLen || !checked(b) || credentialEncoding.EncodeToString(b) != digits {
		return Credential{}, ErrCredential
	}
	c := Credential{Kind: kind}
	b = b[:len(b)-checksumLen]
	switch len(b) {
	case siteBody:
	case accountBody:
		c.Account = idText(accountPrefix, [16]byte(b))
		b = b[16:]
	default:
		return Credential{}, ErrCredential
	}
	c.ID, c.secret = idText(kind.IDPrefix(), [16]byte(b)), hide([32]byte(b[16:]))
	return c, nil
}

// Text is what its owner keeps: the prefix of the kind and 84 characters of [a-z0-9], 109 for a credential of an account.
func (c Credential) Text() Secret {
	b := make([]byte, 0, accountBody+checksumLen)
	if c.Account != "" {
		account, _ := idBytes(accountPrefix, c.Account)
		b = append(b, account[:]...)
	}
	id, _ := idBytes(c.Kind.IDPrefix(), c.ID)
	b = append(b, id[:]...)
	secret := c.secret()
	b = append(b, secret[:]...)
	return Secret(c.Kind.textPrefix() + credentialEncoding.EncodeToString(withChecksum(b)))
}

// Digest is what is stored in place of the credential.
func (c Credential) Digest() [32]byte {
	secret := c.secret()
	return Digest("tallystick credential 1", []byte{byte(c.Kind)}, []byte(c.Account), []byte(c.ID), secret[:])
}

// String returns "redacted".
func (c Credential) String() string { return redacted }
