package satellite

import (
	"errors"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

// badFile says what is wrong with a file that does not verify. Nothing was changed.
func badFile(err error) error {
	out := &license.Error{Kind: license.KindInvalid, Code: "bad-file", Message: "nothing was changed: " + err.Error(), Hint: "carry the file again, as it was written", Err: err}
	switch {
	case errors.Is(err, trust.ErrCutOff):
		out.Code, out.Message = "file-cut-off", "nothing was changed: the end of the file is missing, or this is no file of a satellite or its authority"
	case errors.Is(err, trust.ErrLineEnds):
		out.Code, out.Message, out.Hint = "file-line-ends", "nothing was changed: the line ends of the file were changed on its way", "carry it as an attachment or on a medium, not as text of a mail"
	case errors.Is(err, trust.ErrMalformed):
		out.Message = "nothing was changed: this is no file of a satellite or its authority, or it was altered on its way"
	case errors.Is(err, trust.ErrTooLarge):
		out.Kind, out.Code, out.Hint = license.KindTooLarge, "too-large", "this is no file of a satellite"
	case errors.Is(err, trust.ErrSignature):
		out.Kind, out.Code, out.Message = license.KindUnknown, "file-altered", "nothing was changed: the file was altered after it was signed"
	case errors.Is(err, trust.ErrAudience):
		out.Code, out.Message, out.Hint = "file-other-site", "nothing was changed: the file is for another satellite or account", "carry each answer to the satellite that asked"
	case replaced(err):
		out.Kind, out.Code, out.Message, out.Hint = license.KindUnknown, "file-replaced-keys", "nothing was changed: the file was signed with keys of the authority that have been replaced since", "let the authority answer the newest file again; its answer is then signed with the keys that count"
	case errors.Is(err, trust.ErrChain), errors.Is(err, trust.ErrKey):
		out.Kind, out.Code, out.Message, out.Hint = license.KindUnknown, "file-other-authority", "nothing was changed: the file was not signed by the one whose files are taken here, or its signature was altered on its way", "a satellite's files are answered at its authority, and the answers applied at the satellite; `tally sync status` says which authority it has joined"
	case errors.Is(err, trust.ErrKind):
		out.Code, out.Message, out.Hint = "file-other-kind", "nothing was changed: the file is of another kind", "the satellite's files are answered at the authority, and its answers are applied at the satellite"
	}
	return out
}

func replaced(err error) bool {
	no, ok := errors.AsType[*trust.OtherDeskError](err)
	return ok && no.Replaced
}
