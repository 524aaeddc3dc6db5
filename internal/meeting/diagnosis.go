package meeting

// Diagnosis is why a meeting takes a shared license though somebody expected a
// personal one to pay.
type Diagnosis string

// The diagnoses, the most telling first.
const (
	DiagnosedServiceAccount Diagnosis = "service-account"        // the booking program passed itself
	DiagnosedOtherDirectory Diagnosis = "other-directory"        // nobody has the GUID that call control passed
	DiagnosedAmbiguous      Diagnosis = "ambiguous-owner"        // several users have the name that was passed
	DiagnosedEmail          Diagnosis = "e-mail-not-compared"    // the policy's option is off
	DiagnosedNoLicense      Diagnosis = "owner-without-license"  // the owner is known and not in the group
	DiagnosedOwnerUnknown   Diagnosis = "owner-unknown"          // an owner is named whom the directory does not have
	DiagnosedOldCallControl Diagnosis = "call-control-too-old"   // an ad hoc call, and nothing was passed
	DiagnosedNoOwner        Diagnosis = "no-owner-passed"        // neither has the space an owner, nor did anybody pass one
	DiagnosedNoMember       Diagnosis = "no-member-with-license" // nobody who joined is known to hold one
)

// diagnoses are those of the facts that tell one, the most telling first.
var diagnoses = []struct {
	code string
	is   Diagnosis
}{
	{ServiceAccount, DiagnosedServiceAccount},
	{GUIDUnknown, DiagnosedOtherDirectory},
	{GUIDSeveral, DiagnosedAmbiguous},
	{PassedSeveral, DiagnosedAmbiguous},
	{PassedEmail, DiagnosedEmail},
	{GUIDWithoutLicense, DiagnosedNoLicense},
	{PassedWithoutLicense, DiagnosedNoLicense},
	{OwnerWithoutLicense, DiagnosedNoLicense},
	{PassedUnknown, DiagnosedOwnerUnknown},
	{OwnerUnknown, DiagnosedOwnerUnknown},
	{AdHocNobody, DiagnosedOldCallControl},
	{SpaceUnknown, DiagnosedNoOwner},
	{SpaceWithoutOwner, DiagnosedNoOwner},
	{MembersWithoutLicense, DiagnosedNoMember},
	{MembersUnknown, DiagnosedNoMember},
}

// Diagnose returns the diagnosis that facts tell, or nothing where a personal
// license pays or none could.
func Diagnose(facts []Fact) Diagnosis {
	for _, c := range diagnoses {
		for _, f := range facts {
			switch f.Code {
			case OwnerPersonal, AdHocPersonal, SchedulerPersonal, MemberJoined, MemberDevice:
				return ""
			case c.code:
				return c.is
			}
		}
	}
	return ""
}
